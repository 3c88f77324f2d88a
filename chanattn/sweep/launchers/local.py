"""Runs in processes of this machine, several side by side, each on its share of the cores or on its GPU."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.machine import places
from chanattn.sweep.staying import Staying

_PAUSE = 0.05  # seconds


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Local":
    """See `chanattn.sweep.launchers.create`."""
    return Local(places(platform, parallel), stall)


class Local:
    """Computes jobs in worker processes that stay for one run after another.

    Of the jobs with the seed that is next, a worker takes one whose programs it has compiled, or one that no
    other worker has begun with.

    Args:
        places: for each worker that may run at a time, the environment variables that give it its share of
            the machine, see `chanattn.sweep.machine.places`.
        stall: seconds that a worker may stand still; 0: for ever.
    """

    def __init__(self, places: Sequence[Mapping[str, str]], stall: float = 0.0) -> None:
        self._stall = stall
        self._free = [dict(place) for place in reversed(places)]
        self._queue: list[Job] = []
        self._stopped: list[Ended] = []
        self._workers: list[Staying] = []

    def submit(self, job: Job) -> None:
        """See `Launcher.submit`."""
        self._queue.append(job)
        self._start()

    def poll(self) -> Sequence[Ended]:
        """See `Launcher.poll`."""
        ended, self._stopped = self._stopped, []
        for worker in list(self._workers):
            told, lives = worker.poll()
            if told is not None:
                ended.append(told)
            if not lives:
                self._workers.remove(worker)
                self._free.append(worker.place)
        self._start()
        return ended

    def running(self) -> Sequence[Job]:
        """See `Launcher.running`."""
        return [worker.job for worker in self._workers if worker.job is not None]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`."""
        for worker in self._workers:
            if worker.job == job:
                worker.stop()
                return
        if job in self._queue:
            self._queue.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))

    def close(self) -> None:
        """See `Launcher.close`."""
        self._queue.clear()
        try:
            for worker in self._workers:
                worker.stop()
            while self._workers:
                self.poll()
                time.sleep(_PAUSE)
        finally:  # nobody is left, unless this was interrupted
            for worker in self._workers:
                worker.kill()
            self._workers.clear()

    def _start(self) -> None:
        while self._queue and (waiting := [each for each in self._workers if each.waits]):
            worker, job = self._pair(waiting) or (None, None)
            if worker is None or job is None:
                break
            self._queue.remove(job)
            worker.give(job)
        if self._queue:  # what is left needs other processes, in the places of those that wait
            for worker in self._workers:
                if worker.waits:
                    worker.dismiss()
        while self._queue and self._free:
            job = self._fresh(self._queue) or self._queue[0]
            self._queue.remove(job)
            self._workers.append(Staying(job, self._free.pop(), self._stall))

    def _pair(self, waiting: Sequence[Staying]) -> tuple[Staying, Job] | None:
        """A worker that waits, and what it is to compute; None if nothing is for any of them."""
        seed = self._queue[0].seed
        pairs = [
            (worker, job)
            for job in self._queue
            for worker in waiting
            if job.seed == seed and worker.fits(job)
        ]
        own = (pair for pair in pairs if pair[1].variant in pair[0].variants)
        fresh = self._fresh([job for _, job in pairs])
        return next(own, None) or next(
            (pair for pair in pairs if pair[1] == fresh), next(iter(pairs), None)
        )

    def _fresh(self, jobs: Sequence[Job]) -> Job | None:
        """The first of a variant that no worker has begun with."""
        begun = {variant for worker in self._workers for variant in worker.variants}
        return next((job for job in jobs if job.variant not in begun), None)
