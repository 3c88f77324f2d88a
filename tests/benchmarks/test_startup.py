"""The phases of a launch are read from what train.py prints."""

import io
import time
from pathlib import Path

from benchmarks import startup
from benchmarks.output import ROOT

PRINTED = """JAX 0.10.2, process 0 of 1
devices: 1 x cpu (cpu)
compiled in 2.5 s
step 1/528  loss 2.3
step 2/528  loss 2.2
"""


def test_phases_end_with_their_lines_and_reading_stops_after_the_first_step() -> None:
    lines = io.StringIO(PRINTED)
    times = startup._read_phases(lines, time.perf_counter())
    assert list(times) == ["initialised_s", "compiled_s", "first_step_s"]
    assert sorted(times.values()) == list(times.values())
    assert lines.readline() == "step 2/528  loss 2.2\n"


def test_a_training_that_ends_early_lacks_phases() -> None:
    lines = io.StringIO("".join(PRINTED.splitlines(keepends=True)[:2]))
    assert list(startup._read_phases(lines, 0.0)) == ["initialised_s"]


def test_the_lines_are_those_that_the_loop_prints() -> None:
    sources = [
        (ROOT / "chanattn" / "training" / f"{n}.py").read_text() for n in ("mesh", "progress")
    ]
    assert 'f"JAX {' in sources[0]
    assert 'f"compiled in {' in sources[1]
    assert 'f"step {step}/{' in sources[1]


def test_only_the_launch_with_a_cache_keeps_programs(tmp_path: Path) -> None:
    assert startup._environment(None)["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    filled = startup._environment(tmp_path)
    assert Path(filled["JAX_COMPILATION_CACHE_DIR"]).parent == tmp_path
    assert "JAX_ENABLE_COMPILATION_CACHE" not in filled
