"""How a sweep stops, and what goes on without a reader: real processes, whose workers need no JAX."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATIENCE = 120.0
# A sweep of `program.sweep` itself, on the grid of the tiny sweep; a worker plays the role of its variant.
SWEEP = """
import sys
from pathlib import Path
from types import SimpleNamespace
from chanattn import cli
from chanattn.sweep import Sweep, program
from chanattn.sweep import staying
from chanattn.sweep.request import GridRequest
from configs import base

acting, folder, *roles = sys.argv[1:]
staying.command = lambda job, *pipes: [sys.executable, acting, str(job.workdir), job.variant]
grid = Sweep(title="T", variants={role: {} for role in roles}, baseline=roles[0], seeds=1)
request = GridRequest(
    file="acted.py", recipe=base.get_config(), changed={}, grid=grid,
    outlines={role: SimpleNamespace(total_steps=10, class_names=()) for role in roles},
    variants=roles, seeds=(0,), workdir=Path(folder), launcher="local", parallel=len(roles),
    retry_failed=False, max_losses=0, stall=0.0, cost=False,
)
cli.run(lambda: program.sweep(request), argv=["sweep"])
"""


class Acted:
    """A sweep under way."""

    def __init__(
        self, folder: Path, roles: tuple[str, ...], under: tuple[str, ...] = (), **options: object
    ) -> None:
        acting = ROOT / "tests" / "sweep" / "acting_worker.py"
        words = [*under, sys.executable, "-c", SWEEP, str(acting), str(folder), *roles]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        self.process = subprocess.Popen(words, cwd=ROOT, text=True, **options)
        self.runs = [folder / "runs" / role / "seed0" for role in roles]

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Their numbers, once they have begun."""

        def noted(run: Path) -> str:  # a file that is made is empty at first
            return (run / "starts").read_text() if (run / "starts").exists() else ""

        self.until(lambda: all(map(noted, self.runs)))
        return [int(noted(run)) for run in self.runs]


@pytest.fixture
def acted(tmp_path: Path) -> Iterator[Callable[..., Acted]]:
    started: list[Acted] = []

    def start(*roles: str, **options: object) -> Acted:
        started.append(Acted(tmp_path / "sweep", roles, **options))
        return started[-1]

    yield start
    for sweep in started:
        sweep.process.kill()
        sweep.process.communicate()


def saves(sweep: Acted) -> list[bool]:
    return [(run / "saves").exists() for run in sweep.runs]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_has_every_run_save(acted: Callable[..., Acted], number: signal.Signals) -> None:
    sweep = acted("long")
    sweep.workers()
    sweep.process.send_signal(number)
    out, err = sweep.process.communicate(timeout=PATIENCE)
    assert sweep.process.returncode == 75
    assert "stopping: 1 run saves first; another Ctrl-C ends them at once" in out
    assert err == f"stopped by {number.name}; the same command continues the sweep.\n"
    assert saves(sweep) == [True]


@pytest.mark.slow
def test_a_sweep_under_nohup_outlives_its_terminal(acted: Callable[..., Acted]) -> None:
    sweep = acted("3", "long", under=("nohup",))
    sweep.workers()
    sweep.process.send_signal(signal.SIGHUP)
    time.sleep(1.0)
    assert sweep.process.poll() is None
    sweep.process.send_signal(signal.SIGTERM)
    sweep.process.communicate(timeout=PATIENCE)
    assert saves(sweep) == [False, True]


@pytest.mark.slow
def test_a_second_ctrl_c_ends_workers_that_hang(acted: Callable[..., Acted]) -> None:
    sweep = acted("hangs", "long")
    workers = sweep.workers()
    sweep.process.send_signal(signal.SIGINT)
    sweep.until(lambda: saves(sweep) == [False, True])
    time.sleep(1.2)  # what follows at once is the same Ctrl-C
    sweep.process.send_signal(signal.SIGINT)
    _, err = sweep.process.communicate(timeout=PATIENCE)
    assert sweep.process.returncode == 75
    assert err.startswith("stopped at once by another Ctrl-C; the same command continues")
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@pytest.mark.slow
def test_a_sweep_whose_reader_has_left_goes_on(acted: Callable[..., Acted]) -> None:
    reading, writing = os.pipe()
    sweep = acted("3", "0", stdout=writing)  # neither role is done: both are failures in the end
    os.close(writing)
    os.close(reading)
    _, err = sweep.process.communicate(timeout=PATIENCE)
    assert err.count("\n") == 1
    assert "stdout takes nothing any more (Broken pipe)" in err
    assert sweep.process.returncode == 1
    assert (sweep.runs[0] / "failed.json").exists()
