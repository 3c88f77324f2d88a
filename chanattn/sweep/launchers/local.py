"""Runs as processes of this machine, several side by side, each on its share of the cores or on its GPU."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.machine import places
from chanattn.sweep.watch import Watch, start
from chanattn.sweep.worker import command

_PAUSE = 0.05  # seconds


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Local":
    """See `chanattn.sweep.launchers.create`."""
    return Local(places(platform, parallel), stall)


class Local:
    """Computes jobs in worker processes.

    Args:
        places: for each worker that may run at a time, the environment variables that give it its share of
            the machine, see `chanattn.sweep.machine.places`.
        stall: seconds that a worker may stand still; 0: for ever.
    """

    def __init__(self, places: Sequence[Mapping[str, str]], stall: float = 0.0) -> None:
        self._stall = stall
        self._free = [dict(place) for place in reversed(places)]
        self._queue: deque[Job] = deque()
        self._stopped: list[Ended] = []
        self._workers: dict[Job, tuple[Watch, dict[str, str]]] = {}

    def submit(self, job: Job) -> None:
        """See `Launcher.submit`."""
        self._queue.append(job)
        self._start()

    def poll(self) -> Sequence[Ended]:
        """See `Launcher.poll`."""
        ended, self._stopped = self._stopped, []
        for job, (watch, place) in list(self._workers.items()):
            outcome = watch.poll()
            if outcome is not None:
                del self._workers[job]
                self._free.append(place)
                ended.append(Ended.of_worker(job, outcome))
        self._start()
        return ended

    def running(self) -> Sequence[Job]:
        """See `Launcher.running`."""
        return list(self._workers)

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`."""
        if job in self._workers:
            self._workers[job][0].stop()
        elif job in self._queue:
            self._queue.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))

    def close(self) -> None:
        """See `Launcher.close`."""
        self._queue.clear()
        watches = [watch for watch, _ in self._workers.values()]
        try:
            for watch in watches:
                watch.stop()
            while any(watch.poll() is None for watch in watches):
                time.sleep(_PAUSE)
        finally:  # nobody is left, unless this was interrupted
            for watch in watches:
                watch.kill()
            self._workers.clear()

    def _start(self) -> None:
        while self._queue and self._free:
            job, place = self._queue.popleft(), self._free.pop()
            watch = start(command(job), job.workdir, self._stall, variables=place)
            self._workers[job] = watch, place
