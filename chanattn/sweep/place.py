"""Where workers compute one run after another: a share of this machine, an actor of Ray, a job of Slurm."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.staying import Staying

LINGER = 30.0
"""Seconds for which what was reserved on a cluster is kept without a run to compute."""
_PAUSE = 0.05  # seconds
_LEAVING = 30.0  # seconds that a worker has to end without a run


class Place:
    """Computes one run at a time, in one process for as long as it lives and fits the next run.

    Attributes:
        job: what is computed here; None: nothing.

    Args:
        start: starts a worker on its first run.
    """

    def __init__(self, start: Callable[[Job], Staying]) -> None:
        self.job: Job | None = None
        self._start = start
        self._worker: Staying | None = None
        self._given_up = False

    @property
    def empty(self) -> bool:
        """Whether no process is here."""
        return self._worker is None

    @property
    def variants(self) -> Collection[str]:
        """Whose programs the process here has compiled."""
        return () if self._worker is None else self._worker.variants

    @property
    def done(self) -> int | None:
        """See `Staying.done`."""
        return None if self._worker is None else self._worker.done

    def fits(self, job: Job) -> bool:
        """Whether the process here can compute a run, too."""
        return self._worker is not None and self._worker.waits and self._worker.fits(job)

    def give(self, job: Job) -> None:
        """A run to compute, where none is; a process that it does not fit gives way to another."""
        assert self.job is None
        self.job = job
        if self._worker is None:
            self._worker = self._start(job)
        elif self.fits(job):
            self._worker.give(job)
        else:
            self._worker.dismiss()

    def poll(self) -> Ended | None:
        """What became of the run, once it has ended. To be called every second or so."""
        ended = None
        if self._worker is not None:
            ended, lives = self._worker.poll()
            if not lives:
                self._worker = None
        if self.job is not None and self._given_up:
            ended, self._given_up = Ended(self.job, PREEMPTED), False
        if ended is not None:
            self.job = None
        elif self.job is not None and self._worker is None:
            self._worker = self._start(self.job)
        return ended

    def stop(self) -> None:
        """SIGTERM to the worker: it saves its run and ends."""
        if self._worker is not None:
            self._worker.stop()
        self._given_up = self.job is not None and (self._worker is None or self._worker.job is None)

    def kill(self) -> None:
        """SIGKILL to the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def close(self) -> None:
        """Waits for the end of a worker that has no run."""
        if self._worker is not None:
            self._worker.dismiss()
        end = time.monotonic() + _LEAVING
        while not self.empty and time.monotonic() < end:
            self.poll()
            time.sleep(_PAUSE)
        self.kill()


class Waiting(Protocol):
    """What waits for a run: a `Place`, or what stands for one elsewhere."""

    @property
    def variants(self) -> Collection[str]:
        """See `Place.variants`."""

    def fits(self, job: Job) -> bool:
        """See `Place.fits`."""


Where = TypeVar("Where", bound=Waiting)


def pair(
    queue: Sequence[Job], waiting: Sequence[Where], begun: Collection[str]
) -> tuple[Where, Job]:
    """Which run is computed next, and where.

    Of the runs with the seed that is next, a process takes one whose programs it has compiled, or one that no
    other has begun with. What fits none of the processes goes where there is none, or in the place of one.

    Args:
        queue: the runs, one at least.
        waiting: the places without a run, one at least.
        begun: the variants that any place has begun with.
    """
    pairs = [
        (place, job)
        for job in queue
        if job.seed == queue[0].seed
        for place in waiting
        if place.fits(job)
    ]
    for place, job in pairs:
        if job.variant in place.variants:
            return place, job
    if not pairs:
        place = next((each for each in waiting if not each.variants), waiting[0])
        pairs = [(place, job) for job in queue]
    return next((each for each in pairs if each[1].variant not in begun), pairs[0])
