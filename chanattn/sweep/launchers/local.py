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
        waiting = [worker for worker in self._workers if worker.job is None]
        for worker in waiting:
            fitting = [job for job in self._queue if worker.fits(job)]
            if fitting:
                worker.give(self._taken(fitting, worker))
            elif self._queue:  # they need another process, in this place
                worker.dismiss()
        while self._queue and self._free:
            job = self._taken(self._queue, None)
            self._workers.append(Staying(job, self._free.pop(), self._stall))

    def _taken(self, jobs: Sequence[Job], worker: Staying | None) -> Job:
        """The job to be computed next, off the queue."""
        first = [job for job in jobs if job.seed == jobs[0].seed]
        elsewhere = {variant for other in self._workers for variant in other.variants}
        own = [job for job in first if worker is not None and job.variant in worker.variants]
        fresh = [job for job in first if job.variant not in elsewhere]
        job = (own or fresh or first)[0]
        self._queue.remove(job)
        return job
