"""The command, with real trainings: killed at the worst moment it ends with the same numbers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chanattn.runs.metrics_log import read_metrics
from chanattn.sweep.store import job
from chanattn.training.config import from_json
from chanattn.training.lock import is_held
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT

TINY = "tests/sweep/tiny_sweep.py"
PATIENCE = 600  # seconds; for machines that do something else as well


@pytest.fixture
def start():
    """Starts the command; what still runs at the end of the test is killed."""
    started = []

    def build(*arguments: str, **options) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "chanattn.sweep", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, cwd=ROOT, **pipes, **options))
        return started[-1]

    yield build
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs the command: exit code, standard output, standard error."""

    def build(*arguments: str) -> tuple[int, str, str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    return build


def until(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def numbers(workdir: Path) -> list[dict]:
    """What a run has measured, without what depends on the clock."""
    clock = {"time", "steps_per_second", "images_per_second"}
    return [
        {name: value for name, value in line.items() if name not in clock}
        for line in read_metrics(workdir)
    ]


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_ends_as_if_it_had_not_been(
    start, run, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    arguments = [
        f"--config={TINY}:300",
        f"--workdir={folder}",
        "--parallel=1",
        "--only=none",
        "--seeds=2",
        "--nocost",
    ]
    first, second = job(folder, "none", 0), job(folder, "none", 1)
    checkpoints = second.workdir / "checkpoints"

    sweep = start(*arguments)
    until(lambda: checkpoints.is_dir() and any(e.name.isdigit() for e in checkpoints.iterdir()))
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    assert not (second.workdir / "summary.json").exists()
    before = {path: path.stat().st_mtime_ns for path in first.workdir.rglob("*") if path.is_file()}
    # The worker has noticed, saved and stopped; it says so once it has let go of the folder.
    until(lambda: "stopped by SIGTERM" in (second.workdir / "output.log").read_text())
    assert not is_held(second.workdir)

    code, out, err = run(*arguments)
    assert code == 0, err
    assert "2 of 2 runs done" in out
    assert (folder / "report" / "report.html").exists()
    after = {path: path.stat().st_mtime_ns for path in first.workdir.rglob("*") if path.is_file()}
    assert after == before
    assert "continuing from step" in (second.workdir / "output.log").read_text()

    straight = tmp_path / "straight"
    train_and_evaluate(from_json(second.config.read_text()), straight)
    assert numbers(second.workdir) == numbers(straight)


@pytest.mark.slow
def test_ctrl_c_saves_every_run_and_leaves_with_75(start, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    arguments = [f"--config={TINY}:100000", f"--workdir={folder}", "--only=none", "--seeds=1"]
    sweep = start(*arguments, start_new_session=True)
    metrics = job(folder, "none", 0).workdir / "metrics.jsonl"
    until(lambda: metrics.exists() and metrics.stat().st_size > 0)
    os.killpg(sweep.pid, signal.SIGINT)
    out, err = sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == 75, err
    assert "stopping: 1 run saves first" in out
    assert "stopped by SIGINT; the same command continues the sweep." in err
    assert not is_held(metrics.parent)
    step = read_metrics(metrics.parent)[-1]["step"]
    saved = [int(entry.name) for entry in (metrics.parent / "checkpoints").iterdir()]
    assert max(saved) >= step


def test_a_mistake_is_one_line_and_writes_nothing(run, tmp_path: Path) -> None:
    """The others are in `tests/reliability/cases/sweeps.py`."""
    folder = tmp_path / "sweep"
    code, out, err = run(f"--config={TINY}", f"--workdir={folder}", "--config.model.dropout=2")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "every variant: model.dropout" in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_shows_grid_and_time_and_writes_nothing(run, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    code, out, err = run(
        f"--config={TINY}:400",
        f"--workdir={folder}",
        "--dry_run",
        "--seeds=3",
        "--config.batch_size=8",
    )
    assert code == 0, err
    for expected in (
        "none (baseline)",
        "model.attention.name=se, model.attention.reduction=4",
        "for all: batch_size 16 -> 8",
        "2 variants x 3 seeds = 6 runs",
        "estimated time: ",
        "from a trial of none on this machine",
        "for the cost of 2 variants",
    ):
        assert expected in out
    assert list(tmp_path.iterdir()) == []
