"""One command for a GPU: its parts are commands that exist, and none stops the others."""

import importlib
import sys
from pathlib import Path

import pytest
from absl import flags

from benchmarks import gpu, rows
from chanattn.errors import UsageError

PARTS = [*gpu.parts("python"), *gpu.parts(""), *gpu.parts("python", tiny=True)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_program_of_a_part_takes_its_flags(part: gpu.Part) -> None:
    values = flags.FlagValues()
    importlib.import_module(f"benchmarks.{part.module}").define_flags(values)
    values(["program", *part.command(Path("results"))[3:]])
    if part.module in ("throughput", "memory"):
        assert rows.choose(values["rows"].value)


def test_parts_have_names_of_their_own() -> None:
    names = [part.name for part in gpu.parts("")]
    assert len(set(names)) == len(names)


def test_a_peer_is_asked_for_only_if_there_is_one() -> None:
    with_peer, without = gpu.parts("python"), gpu.parts("")
    assert any("--against=timm" in part.arguments for part in with_peer)
    assert not any("--against=timm" in part.arguments for part in without)


def test_parts_are_chosen_by_pattern_in_the_order_of_importance() -> None:
    chosen = gpu.choose(gpu.parts(""), "seeds,resnet50*-train")
    assert [part.name for part in chosen][:2] == ["resnet50-train", "resnet50_se-train"]
    assert chosen[-1].name == "seeds"
    with pytest.raises(UsageError, match="no part is called 'nope'"):
        gpu.choose(gpu.parts(""), "nope")


def part_that_runs(code: str, folder: Path, limit: int = 60) -> gpu.Part:
    class Script(gpu.Part):
        def command(self, _: Path) -> list[str]:
            return [sys.executable, "-c", code, str(folder / "gpu-x.json")]

    return Script("x", "none", (), limit)


def test_a_part_that_fails_is_told_and_leaves_what_it_has_written(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write('{}'); print('why'); sys.exit(3)"
    outcome, _ = gpu._run(part_that_runs(code, tmp_path), tmp_path, 60)
    assert outcome == "failed, exit code 3"
    assert (tmp_path / "gpu-x.partial.json").exists()
    assert not (tmp_path / "gpu-x.json").exists()
    assert (tmp_path / "gpu-x.log").read_text() == "why\n"


def test_a_part_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    part = part_that_runs("import time; time.sleep(60)", tmp_path, limit=0)
    outcome, seconds = gpu._run(part, tmp_path, 60)
    assert outcome == "ended: too long"
    assert seconds < 10


def test_a_part_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    part = part_that_runs("import sys; open(sys.argv[1], 'x').write('{}')", tmp_path)
    assert gpu._run(part, tmp_path, 60)[0] == "done"
    assert gpu._run(part, tmp_path, 60)[0] == "was there"
    (tmp_path / "gpu-x.json").unlink()
    assert gpu._run(part, tmp_path, 0)[0] == "no time left"
