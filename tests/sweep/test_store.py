"""The files of a sweep: safe names, and changes that add and never destroy."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.errors import UsageError
from chanattn.sweep.dry_run import dry_run
from chanattn.sweep.program import sweep
from chanattn.sweep.store import check_unchanged, directory_name, job, read, write

HOSTILE = [
    "../../etc",
    "/tmp/x",
    "..",
    ".",
    "a/b",
    "-rf",
    "con\u0441ole",
    "se r=4",
    "x" * 300,
    ".hidden",
]


def written(request) -> dict:
    check_unchanged(request.workdir, request.recipe, request.grid, request.name)
    write(
        request.workdir,
        request.recipe,
        request.grid,
        request.seeds,
        name=request.name,
        file=request.file,
    )
    return json.loads((request.workdir / "sweep.json").read_text())


@given(st.text(min_size=1))
def test_no_name_leads_out_of_the_sweep(name: str) -> None:
    folder = Path("/sweep/runs").joinpath(directory_name(name)).resolve()
    assert folder.parent == Path("/sweep/runs")
    assert not folder.name.startswith((".", "-"))
    assert len(folder.name) <= 64


def test_hostile_names_keep_apart_and_plain_ones_stay() -> None:
    assert len({directory_name(name) for name in HOSTILE}) == len(HOSTILE)
    assert directory_name("se_r4.b-1") == "se_r4.b-1"
    assert directory_name("se r=4") != directory_name("se r:4")


def test_the_index_says_all_that_a_report_needs(request_for) -> None:
    index = written(request_for(note="why"))
    assert index["format"] == 1
    assert (index["name"], index["title"], index["note"]) == ("tiny_sweep", "Tiny", "why")
    assert (index["baseline"], index["seeds"]) == ("none", [0, 1])
    assert index["variants"]["se_r4"] == {
        "directory": "se_r4",
        "overrides": {"model.attention.name": "se", "model.attention.reduction": 4},
        "wanted": [0, 1],
    }
    assert index["published"][0]["values"] == {"none": 23.3}
    assert {"command", "versions", "git", "written"} == set(index["how"])


def test_the_index_keeps_what_was_ever_asked_for(request_for) -> None:
    request = request_for(only=["se_r4"], seeds=1)

    def ask(only, seeds) -> dict:
        write(
            request.workdir,
            request.recipe,
            request.grid,
            seeds,
            name=request.name,
            file=request.file,
            only=only,
        )
        variants = read(request.workdir).variants
        return {name: list(entry.wanted) for name, entry in variants.items()}

    assert ask(["se_r4"], [0]) == {"none": [], "se_r4": [0]}
    assert ask(["se_r4"], [1]) == {"none": [], "se_r4": [0, 1]}
    assert ask(None, [0]) == {"none": [0], "se_r4": [0, 1]}
    index = json.loads((request.workdir / "sweep.json").read_text())
    for entry in index["variants"].values():
        del entry["wanted"]  # as earlier versions wrote it: they asked for all
    (request.workdir / "sweep.json").write_text(json.dumps(index))
    assert ask(["none"], [5]) == {"none": [0, 1, 5], "se_r4": [0, 1]}


def test_every_run_has_its_config(request_for) -> None:
    request = request_for()
    written(request)
    for each in request.jobs():
        config = json.loads(each.config.read_text())
        assert config["seed"] == each.seed
        assert config["model"]["attention"]["name"] == (
            "se" if each.variant == "se_r4" else "identity"
        )
        assert each.workdir.parent.parent == request.workdir / "runs"


def test_a_larger_grid_adds_and_a_smaller_one_removes_nothing(request_for) -> None:
    request = request_for()
    written(request)
    job_file = job(request.workdir, "none", 0).config
    before = job_file.stat().st_mtime_ns
    eca = {"none": {}, "eca": {"model.attention.name": "eca"}}
    index = written(request_for(variants=eca, seeds=[5], published=[]))
    assert list(index["variants"]) == ["none", "eca", "se_r4"]
    assert index["seeds"] == [0, 1, 5]
    assert job_file.stat().st_mtime_ns == before
    assert job(request.workdir, "eca", 1).config.exists()


def test_a_changed_recipe_is_refused_with_the_difference(request_for, tiny) -> None:
    request = request_for()
    index = written(request)
    recipe = tiny[0].copy_and_resolve_references()
    recipe.optimizer.learning_rate = 0.5
    with pytest.raises(UsageError, match=r"every variant: optimizer.learning_rate 0.01 -> 0.5"):
        written(request_for(recipe=recipe))
    with pytest.raises(UsageError, match=r"none, se_r4: optimizer.learning_rate|every variant"):
        # also of variants that are no longer in the grid
        written(request_for(recipe=recipe, variants={"new": {}}, baseline="new", published=[]))
    assert read(request.workdir).to_json() == index


def test_changed_overrides_are_refused_with_the_variant(request_for, tiny) -> None:
    written(request_for())
    variants = dict(tiny[1].variants)
    variants["se_r4"] = variants["se_r4"] | {"model.attention.reduction": 8}
    with pytest.raises(UsageError, match=r"\(se_r4: model.attention.reduction 4 -> 8\)"):
        written(request_for(variants=variants))


def test_another_sweep_is_refused(request_for) -> None:
    written(request_for())
    with pytest.raises(UsageError, match="holds the sweep 'tiny_sweep', not 'other'"):
        written(request_for(file="configs/other.py:digits"))


def test_a_folder_of_something_else_is_refused_and_left_alone(request_for, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="something else than a sweep"):
        written(request_for())
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_a_damaged_index_is_one_line(request_for, tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=r"sweep\.json"):
        written(request_for())


def test_names_that_differ_in_case_only_are_refused(request_for) -> None:
    se = {"model.attention.name": "se"}
    with pytest.raises(UsageError, match="would share a folder"):
        written(request_for(variants={"none": {}, "SE": se, "se": se}))


def test_a_sweep_is_not_continued_on_other_classes(request_for, acting) -> None:
    request = request_for()
    sweep(request)
    begun = len(acting.submitted)
    run = job(request.workdir, "se_r4", 1).workdir
    run.mkdir(parents=True, exist_ok=True)
    (run / "classes.json").write_text(json.dumps({"names": list(request.class_names["se_r4"])}))
    sweep(request)
    (run / "classes.json").write_text(json.dumps({"names": ["cat", *map(str, range(9))]}))
    with pytest.raises(UsageError, match=r"se_r4/seed1 was trained on.*absent: 'cat'"):
        sweep(request)
    with pytest.raises(UsageError, match="absent: 'cat'"):
        dry_run(request)
    assert len(acting.submitted) == begun


def test_runs_share_compiled_programs_where_xla_can_name_the_folder(tmp_path: Path) -> None:
    assert job(tmp_path, "none", 0).cache == tmp_path / "cache"
    assert job(tmp_path / os.fsdecode(b"nu\xff"), "none", 0).cache is None
