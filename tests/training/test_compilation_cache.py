"""Compiled programs outlive their process: the second one compiles nothing."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import pytest

from chanattn.errors import UsageError
from chanattn.training import compilation_cache

ROOT = Path(__file__).resolve().parents[2]
# A program large enough for JAX to keep by default would take a second to compile; these are tiny.
CHILD = """
import json, sys
import jax, jax.numpy as jnp
from chanattn.training.compilation_cache import enable
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rsplit("/", 1)[-1]))
enable(sys.argv[1])
step = jax.jit(lambda w, x: w - 0.1 * jax.grad(lambda w: ((x @ w) ** 2).sum())(w), donate_argnums=0)
w = step(jnp.ones((4, 4)), jnp.arange(12.0).reshape(3, 4))
counts = {name: events.count(name) for name in ("compile_requests_use_cache", "cache_hits")}
print(json.dumps({"value": float(w.sum()), **counts}))
"""


def child(directory: Path, **variables: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(directory)],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_second_process_compiles_nothing_and_computes_the_same(tmp_path: Path) -> None:
    first, second = child(tmp_path), child(tmp_path)
    assert first["cache_hits"] == 0
    assert first["compile_requests_use_cache"] > 0
    assert second["cache_hits"] == second["compile_requests_use_cache"]
    assert second["compile_requests_use_cache"] == first["compile_requests_use_cache"]
    assert second["value"] == first["value"]


def test_the_settings_serve_other_processes_as_environment_variables(tmp_path: Path) -> None:
    settings = compilation_cache.settings(tmp_path / "new")
    assert Path(str(settings["jax_compilation_cache_dir"])).parent == tmp_path / "new"
    variables = {name.upper(): str(value) for name, value in settings.items()}
    code = (
        "import json, jax; print(json.dumps([getattr(jax.config, name) for name in "
        f"{list(settings)}]))"
    )
    environment = os.environ | variables
    answer = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert json.loads(answer) == list(settings.values())


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep compiled programs in .*file"):
        compilation_cache.settings(tmp_path / "file")


# Settings that the tests run under would decide in the place of the user's folder.
OWN = {"JAX_COMPILATION_CACHE_DIR": "", "PYTHONWARNINGS": "default"}
BY_DEFAULT = CHILD.replace("import enable", "import choose").replace(
    "enable(sys.argv[1])", "choose(sys.argv[1])"
)


def by_default(chosen: str, **variables: str) -> tuple[dict[str, float], str]:
    done = subprocess.run(
        [sys.executable, "-c", BY_DEFAULT, chosen],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | OWN | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_programs_are_kept_in_the_folder_of_the_user_and_entries_cut_short_are_replaced(
    tmp_path: Path,
) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    first, _ = by_default("", **home)
    entries = list((tmp_path / "chanattn" / "compiled").rglob("*-cache"))
    assert first["cache_hits"] == 0
    assert entries
    for entry in entries:  # as a full disk leaves them
        entry.write_bytes(entry.read_bytes()[:-7])
    damaged, said = by_default("", **home)
    assert (damaged["cache_hits"], damaged["value"], said) == (0, first["value"], "")
    for entry in entries:
        os.utime(entry, (0, 0))  # nobody writes them any more
    mended, said = by_default("", **home)
    assert (mended["cache_hits"], said) == (0, "")
    for entry in entries:
        assert zlib.decompress(entry.read_bytes())


def test_where_the_user_has_no_folder_one_line_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    home = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    values, said = by_default("", **home)
    assert values["cache_hits"] == 0
    assert said.startswith("cannot keep compiled programs in ")
    assert said.count("\n") == 1
    assert "--config.compilation_cache=none" in said


def test_a_run_that_keeps_no_programs_leaves_the_setting_as_it_was() -> None:
    with compilation_cache.as_before():
        compilation_cache.choose("none")
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache


def test_what_was_used_longest_ago_gives_way(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(zlib.compress(bytes(1000) + os.urandom(1000)))
        os.utime(path, (10_000 - age, 10_000 - age))
    compilation_cache.tidy(tmp_path, limit=2500)
    assert {path.name for path in tmp_path.iterdir()} == {"a-cache", "b-cache"}
    (tmp_path / "c-cache").write_bytes(b"\x78half")  # as another process is just writing it
    compilation_cache.tidy(tmp_path, limit=10_000)
    assert (tmp_path / "c-cache").exists()
