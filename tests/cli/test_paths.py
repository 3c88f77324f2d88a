"""Paths: flags and fields of the config that are paths behave alike, all of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags

from chanattn import cli
from chanattn.config import FIELDS
from chanattn.data.sources import open_source
from chanattn.data.sources.tfds_sets import data_dirs
from chanattn.errors import UsageError
from chanattn.fields import path
from chanattn.paths import to_path
from chanattn.training import compilation_cache
from chanattn.training.loop import train_and_evaluate
from chanattn.training.validate import field_mistakes
from configs import base
from tests.conftest import ROOT

#: Flags whose text is no path. A new flag is one of these, or is defined by `cli.define_path`.
NO_PATHS = {
    "scales",
    "window",
    *("coordinator", "step", "split", "dataset", "platform", "metric", "sort", "ray_address"),
    *("slurm_partition", "slurm_memory", "slurm_option", "search_space", "search_split"),
    "search_metric",
    *("seeds", "only", "mechanisms", "against", "batch_sizes", "precisions", "batches"),
    *("steps_per_dispatch", "recipes", "parts", "model", "mechanism", "numbers", "shapes"),
    *("rows", "modes", "workers", "imports", "family", "variants", "peers"),
}
BAD = ("", " ", "file:///data", "gs://bucket/x", "$NOWHERE/x", "${NOWHERE}", "~nobody_at_all/x")


def text_flags() -> Iterator[tuple[str, str, str]]:
    """(file, function, flag) of every flag of any program that takes a text."""
    for place in ("chanattn", "benchmarks", "train.py", "eval.py", "predict.py"):
        for file in sorted((ROOT / place).rglob("*.py")) or [ROOT / place]:
            aliases = {"text": "DEFINE_string", "path": "define_path"}  # of benchmarks.throughput
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and node.args):
                    continue
                function = ast.unparse(node.func).rpartition(".")[2]
                function = aliases.get(function, function)
                name = node.args[0]
                if function in {
                    *("DEFINE_string", "DEFINE_list", "DEFINE_multi_string", "define_path"),
                    "DEFINE_spaceseplist",
                } and isinstance(name, ast.Constant):
                    yield str(file.relative_to(ROOT)), function, str(name.value)


def test_every_flag_that_is_a_path_is_defined_as_one() -> None:
    found = list(text_flags())
    texts = {(file, name) for file, function, name in found if function != "define_path"}
    wrong = sorted((file, name) for file, name in texts if name not in NO_PATHS)
    assert not wrong, f"define these by cli.define_path, or add them to NO_PATHS: {wrong}"
    paths = {name for _, function, name in found if function == "define_path"}
    assert not paths & NO_PATHS
    assert paths >= {"workdir", "data_dir", "output", "weights", "json", "folder", "job_config"}


def test_nothing_else_expands_a_home_folder() -> None:
    for place in ("chanattn", "benchmarks", "configs"):
        for file in (ROOT / place).rglob("*.py"):
            if file != ROOT / "chanattn" / "paths.py":
                assert "expanduser" not in file.read_text(encoding="utf-8"), file


def given(text: str) -> Path | None:
    values = flags.FlagValues()
    holder = cli.define_path("place", None, "a place", flag_values=values)
    cli.parse(["program", f"--place={text}"], config=False, positionals=False, flag_values=values)
    return holder.value


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path / "home"


def test_a_flag_is_expanded_and_keeps_what_is_no_home(home: Path) -> None:
    assert given("~") == home
    assert given("~/runs/a/") == home / "runs" / "a"
    assert given("runs/~a/$b") == Path("runs/~a/$b")
    assert given("./~") == Path.cwd() / "~"
    assert to_path(given("./~/a") or "") == Path.cwd() / "~" / "a"
    assert given("./$x") == Path("$x")
    assert given("lr[0.1]?a=b") == Path("lr[0.1]?a=b")


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_path_is_refused_as_a_flag_and_as_a_field(text: str, home: Path) -> None:
    with pytest.raises(UsageError, match="--place=") as caught:
        given(text)
    assert "\n" not in str(caught.value)
    if text:
        fields = [name for name, each in FIELDS.items() if each.rule.wanted == path().wanted]
        assert fields == ["compilation_cache", "dataset.data_dir", "model.init"]
        for field in fields:
            config = base.get_config()
            group, _, name = field.rpartition(".")
            (config[group] if group else config)[name] = text
            assert any(mistake.startswith(field) for mistake in field_mistakes(config)), field


def test_fields_and_variables_that_are_paths_are_expanded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = compilation_cache.settings("~/cache")
    assert Path(str(settings["jax_compilation_cache_dir"])).parent == home / "cache"
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    assert data_dirs("")[0] == home / "sets"
    assert data_dirs("~/other") == [home / "other"]
    config = base.get_config()
    config.dataset.name, config.dataset.data_dir = "folder", "~/pictures"
    with pytest.raises(UsageError, match=f"no folder {home}/pictures/train"):
        open_source(config.dataset, "train")


def test_the_recipe_of_a_home_folder_is_found(home: Path) -> None:
    with pytest.raises(UsageError, match="config file ~/absent.py does not exist"):
        cli.load_config("~/absent.py")
    home.mkdir()
    (home / "recipe.py").write_text("from configs.digits import get_config\n")
    assert cli.load_config("~/recipe.py:eca").model.attention.name == "eca"


def test_no_folder_called_like_a_home_is_made(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = base.get_config()
    config.steps, config.dataset.name = 2, "absent"
    home.mkdir()
    (home / "runs").write_text("")
    with pytest.raises(UsageError, match=f"{home}/runs is a file"):
        train_and_evaluate(config, "~/runs/a")
    assert [entry.name for entry in tmp_path.iterdir()] == ["home"]
