"""A worker that makes no progress is noticed and ended, and one that only looks so is not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chanattn.cli import PREEMPTED
from chanattn.sweep import staying
from chanattn.sweep import watch as watching
from chanattn.sweep.controller import Controller
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.local import Local
from chanattn.sweep.launchers.ray_runner import Runner
from chanattn.sweep.watch import Watch
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not tell processor times"
)
ACTING = ROOT / "tests" / "sweep" / "acting_worker.py"
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
SILENT = {
    "a sleeping process": "import time; time.sleep(60)",
    "a deadlock": "import threading; a = threading.Lock(); a.acquire(); a.acquire()",
}
BUSY = {
    "one that computes": "while True: pass",
    "one whose child process computes": CHILD,
    "one that prints": "import time\nwhile True: print('.', flush=True); time.sleep(0.02)",
}


@pytest.fixture
def started(tmp_path: Path) -> Iterator:
    """Starts programs whose output goes where that of a worker does."""
    processes = []

    def start(program: str) -> subprocess.Popen:
        with (tmp_path / "output.log").open("ab") as output:
            words = [sys.executable, "-c", program]
            processes.append(subprocess.Popen(words, stdout=output, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def watched(
    worker: subprocess.Popen,
    folder: Path,
    limit: float = 100.0,
    looks: int = 80,
    pause: float = 0.03,
) -> object:
    """What a watch says of the worker within seconds, which are 4 s each pause to it."""
    now = [0.0]
    watch = Watch(worker, folder, limit, clock=lambda: now[0])
    for _ in range(looks):
        if (outcome := watch.poll()) is not None:
            return outcome
        now[0] += 4.0
        time.sleep(pause)
    return None


@pytest.mark.parametrize("name", SILENT)
def test_a_worker_that_neither_writes_nor_computes_is_ended(
    name: str, started, tmp_path: Path
) -> None:
    reason = "no progress for 1:40 min"
    assert watched(started(SILENT[name]), tmp_path) == reason
    assert (tmp_path / "output.log").read_text() == f"{reason}: ended by the sweep\n"


@pytest.mark.parametrize("name", BUSY)
def test_a_worker_that_writes_or_computes_is_left_alone(name: str, started, tmp_path: Path) -> None:
    # On a busy machine it takes a while until a process gets a hundredth of a second.
    assert watched(started(BUSY[name]), tmp_path, looks=40, pause=0.1) is None


def test_without_a_limit_nothing_is_ended(started, tmp_path: Path) -> None:
    assert watched(started(SILENT["a deadlock"]), tmp_path, limit=0.0) is None


def test_a_process_that_is_stopped_has_not_hung(started, tmp_path: Path) -> None:
    worker = started("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    assert watched(worker, tmp_path) is None


def test_one_that_does_not_obey_is_killed(started, tmp_path: Path) -> None:
    worker = started(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    )
    assert watched(worker, tmp_path) == "no progress for 1:40 min"
    assert worker.returncode == -9


def test_the_limit_is_generous() -> None:
    assert watching.STALL_MINUTES >= 20


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Jobs whose stand-in workers play the roles that their variants name."""
    monkeypatch.setattr(
        staying,
        "command",
        lambda job, *pipes: [sys.executable, str(ACTING), str(job.workdir), job.variant],
    )
    monkeypatch.setattr("chanattn.sweep.controller._PAUSE", 0.02)
    return lambda role: Job(role, 0, tmp_path / "config.json", tmp_path / role)


def test_a_sweep_tries_a_run_whose_worker_hangs_again_and_then_gives_it_up(jobs) -> None:
    hangs, ends = jobs("hangs"), jobs("0")
    told: list[tuple[str, str, str]] = []
    launcher = Local([{}, {}], stall=0.7)
    controller = Controller(
        [hangs, ends],
        launcher,
        lambda what, job, detail: told.append((what, job.variant, detail)),
        max_losses=1,
    )
    (ends.workdir).mkdir()
    (ends.workdir / "summary.json").write_text("{}")
    assert controller.run(lambda: False, lambda: None)
    launcher.close()
    reason = "no progress for 1 s"
    assert told == [("again", "hangs", reason), ("failed", "hangs", reason)]
    assert len((hangs.workdir / "starts").read_text().splitlines()) == 2
    assert not (hangs.workdir / "saves").exists()


def test_a_launcher_that_is_closed_ends_a_worker_that_hangs(
    jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_SAVING", 0.5)
    launcher, hangs = Local([{}], stall=1000.0), jobs("hangs")
    launcher.submit(hangs)
    while not (hangs.workdir / "starts").exists():
        time.sleep(0.02)
    launcher.close()
    assert launcher.running() == []


def test_the_actor_of_ray_ends_a_worker_that_hangs(jobs) -> None:
    job, other = jobs("hangs"), jobs("0")
    runner = Runner((), str(ROOT), {}, stall=0.7)
    assert runner.run(job) == Ended(job, None, "no progress for 1 s")
    runner.stop(other)  # Ray may well bring this before the run
    assert runner.run(other) == Ended(other, PREEMPTED)
    assert runner.run(other) == Ended(other, 0)


def test_what_a_watch_says_becomes_the_end_of_a_run(jobs) -> None:
    job = jobs("0")
    assert Ended.of_worker(job, 75) == Ended(job, 75)
    assert Ended.of_worker(job, -11) == Ended(job, None, "killed by SIGSEGV")
    assert Ended.of_worker(job, -35) == Ended(job, None, "killed by signal 35")
    assert Ended.of_worker(job, "no progress") == Ended(job, None, "no progress")
