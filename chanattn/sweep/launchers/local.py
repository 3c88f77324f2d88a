"""Runs in processes of this machine, several side by side, each on its share of the cores or on its GPU."""

import select
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.machine import places
from chanattn.sweep.place import Place, pair
from chanattn.sweep.staying import Staying

_PAUSE = 0.05  # seconds
_BREATH = 0.005  # seconds that a worker which says nothing more may take to end


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Local":
    """See `chanattn.sweep.launchers.create`."""
    return Local(places(platform, parallel), stall)


class Local:
    """Computes jobs in worker processes that stay for one run after another.

    Args:
        places: for each worker that may run at a time, the environment variables that give it its share of
            the machine, see `chanattn.sweep.machine.places`.
        stall: seconds that a worker may stand still; 0: for ever.
    """

    def __init__(self, places: Sequence[Mapping[str, str]], stall: float = 0.0) -> None:
        self._places = [
            Place(partial(Staying, variables=variables, stall=stall)) for variables in places
        ]
        self._queue: list[Job] = []
        self._stopped: list[Ended] = []

    def submit(self, job: Job) -> None:
        """See `Launcher.submit`."""
        self._queue.append(job)
        self._start()

    def poll(self) -> Sequence[Ended]:
        """See `Launcher.poll`."""
        ended, self._stopped = self._stopped, []
        told = [place.poll() for place in self._places]
        self._start()
        return [*ended, *(each for each in told if each is not None)]

    def wait(self, seconds: float) -> None:
        """See `Launcher.wait`."""
        pipes = [pipe for place in self._places if (pipe := place.done) is not None]
        told, _, _ = select.select(pipes, (), (), seconds)
        if told:
            time.sleep(_BREATH)

    def running(self) -> Sequence[Job]:
        """See `Launcher.running`."""
        return [place.job for place in self._places if place.job is not None]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`."""
        for place in self._places:
            if place.job == job:
                place.stop()
                return
        if job in self._queue:
            self._queue.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))

    def close(self) -> None:
        """See `Launcher.close`."""
        self._queue.clear()
        try:
            for place in self._places:
                place.stop()
            while not all(place.empty for place in self._places):
                self.poll()
                time.sleep(_PAUSE)
        finally:  # nobody is left, unless this was interrupted
            for place in self._places:
                place.kill()

    def _start(self) -> None:
        while self._queue and (waiting := [each for each in self._places if each.job is None]):
            begun = {variant for place in self._places for variant in place.variants}
            place, job = pair(self._queue, waiting, begun)
            self._queue.remove(job)
            place.give(job)
