"""What Ray places on a node: an actor in which workers compute one run after another, and can be stopped."""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.place import Place
from chanattn.sweep.staying import Staying

_PAUSE = 0.2  # seconds


class Runner:
    """A place on the node of this actor, whose workers are processes of their own.

    Processes, because a worker wants the main thread for its signals, and a JAX that nobody has started yet.
    They save and stop when this actor dies, in whatever way. Ray calls the methods in threads of their own.

    Args:
        program: what starts a worker, see `chanattn.sweep.worker.command`.
        directory: where it is started.
        variables: added to the environment that Ray gives, in which `CUDA_VISIBLE_DEVICES` names the GPUs of
            this actor.
        stall: see `chanattn.sweep.watch.Watch`.
    """

    def __init__(
        self, program: Sequence[str], directory: str, variables: Mapping[str, str], stall: float
    ) -> None:
        self._lock = threading.Lock()
        start = partial(
            Staying, variables=variables, stall=stall, program=program, directory=directory
        )
        self._place = Place(start)
        self._stopped = set[Job]()

    def ready(self) -> bool:
        """Answers once the actor has a node."""
        return True

    def run(self, job: Job) -> Ended:
        """Trains a run, and returns what became of it."""
        with self._lock:
            if job in self._stopped:
                self._stopped.remove(job)
                return Ended(job, PREEMPTED)
            self._place.give(job)
        while True:
            with self._lock:
                ended = self._place.poll()
            if ended is not None:
                return ended
            time.sleep(_PAUSE)

    def stop(self, job: Job) -> None:
        """SIGTERM to the worker of this run, which saves and stops; a run that has not begun never will."""
        with self._lock:
            if self._place.job == job:
                self._place.stop()
            else:
                self._stopped.add(job)

    def kill(self) -> None:
        """SIGKILL to the worker."""
        with self._lock:
            self._place.kill()
