"""One command for a GPU: its parts are commands that exist, and none stops the others."""

import importlib
import sys

import pytest
from absl import flags

from benchmarks import gpu, recipes, rows

NAMES = [name for name, _, _ in gpu.PARTS]


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_program_of_a_part_takes_its_flags(name, tiny, tmp_path):
    command = gpu.command_of(name, tmp_path, "python", tiny=tiny)
    values = flags.FlagValues()
    importlib.import_module(command[2]).define_flags(values)
    values(["program", *command[3:]])
    if "rows" in values:
        assert rows.choose(values["rows"].value)
        assert values["against"].value == "timm"
    if "recipes" in values:
        assert recipes.names(values["recipes"].value)


def test_parts_have_names_of_their_own():
    assert len(set(NAMES)) == len(NAMES)


def test_no_peer_is_asked_for_if_there_is_none(tmp_path):
    assert not any("--against=timm" in gpu.command_of(name, tmp_path, "") for name in NAMES)


def run(code, folder, limit=60.0):
    command = [sys.executable, "-c", code, str(folder / "gpu-x.partial.json")]
    return gpu.run("x", command, folder, limit)


def test_a_part_that_fails_is_told_and_leaves_what_it_has_written(tmp_path):
    code = "import sys; open(sys.argv[1], 'w').write('{}'); print('why'); sys.exit(3)"
    assert run(code, tmp_path) == "failed, exit code 3"
    assert (tmp_path / "gpu-x.partial.json").exists()
    assert not (tmp_path / "gpu-x.json").exists()
    assert (tmp_path / "gpu-x.log").read_text() == "why\n"


def test_a_part_that_takes_too_long_is_ended(tmp_path):
    assert run("import time; time.sleep(60)", tmp_path, limit=0.1) == "ended: too long"


def test_a_part_that_is_done_is_not_run_again(tmp_path):
    code = "import sys; open(sys.argv[1], 'x').write('{}')"
    assert run(code, tmp_path) == "done"
    assert run(code, tmp_path) == "was there"
    (tmp_path / "gpu-x.json").unlink()
    assert run(code, tmp_path, limit=0) == "no time left"
