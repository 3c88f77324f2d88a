"""What the controller of a sweep asks of a launcher, and what it is told."""

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self


@dataclasses.dataclass(frozen=True)
class Job:
    """One run to be trained by a worker, see `chanattn.sweep.worker.command`.

    Attributes:
        variant: name in the grid.
        seed: of the run.
        config: the resolved config as JSON, an absolute path.
        workdir: the run directory, an absolute path.
        cache: folder of compiled programs that the runs share, an absolute path; None: as the config says.
    """

    variant: str
    seed: int
    config: Path
    workdir: Path
    cache: Path | None = None

    @property
    def name(self) -> str:
        """For people: `se_r4/seed0`."""
        return f"{self.variant}/seed{self.seed}"

    def told(self) -> dict[str, str]:
        """What a worker is told of it."""
        cache = {} if self.cache is None else {"cache": str(self.cache)}
        return {"job_config": str(self.config), "workdir": str(self.workdir), **cache}


@dataclasses.dataclass(frozen=True)
class Ended:
    """A worker that is no more.

    Attributes:
        job: what it worked on.
        code: its exit code: 0 done, 2 usage, 75 preempted and saved, 1 failed; None: the worker or its node
            vanished, by a signal for instance, so that nobody can tell what became of the run.
        detail: what is known beside the code, as "killed by SIGKILL".
    """

    job: Job
    code: int | None
    detail: str = ""

    @classmethod
    def of_worker(cls, job: Job, outcome: int | str) -> Self:
        """From what `chanattn.sweep.watch.Watch.poll` says."""
        if isinstance(outcome, str):
            return cls(job, None, outcome)
        if outcome >= 0:
            return cls(job, outcome)
        return cls(job, None, f"killed by {_signal(-outcome)}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class Launcher(Protocol):
    """Computes jobs, as many at a time as it has room for.

    The controller decides what becomes of a job that has ended; a launcher never repeats one by itself.
    """

    def submit(self, job: Job) -> None:
        """Queues a job; returns at once."""

    def poll(self) -> Sequence[Ended]:
        """The workers that have ended since the last call; never blocks for long."""

    def wait(self, seconds: float) -> None:
        """Returns after so many seconds, or as soon as a worker has something to tell if that is known."""

    def running(self) -> Sequence[Job]:
        """The jobs that have a worker now."""

    def stop(self, job: Job) -> None:
        """Stops one job: SIGTERM to its worker if it has one. Its end is reported as ever, with any code."""

    def close(self) -> None:
        """Stops everything: SIGTERM to the workers, which save and exit with 75; waits; frees what it holds.

        Called at the end of a sweep, on Ctrl-C and after an error. Jobs without a worker are forgotten. An
        exception that interrupts the waiting (a second Ctrl-C) ends the workers at once where possible.
        """
