"""What Ray places on a node for each run: an actor that starts the worker there and can stop it."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chanattn.sweep.watch import Outcome, Watch, start

_PAUSE = 0.2  # seconds


class Runner:
    """A worker on the node of this actor, as a process of its own.

    A process, because a worker wants the main thread for its signals, and a JAX that nobody has started yet.
    Ray calls the methods in threads of their own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._stopped = False

    def ready(self) -> bool:
        """Answers once the actor has a node."""
        return True

    def run(
        self,
        command: Sequence[str],
        directory: str,
        folder: str,
        variables: Mapping[str, str],
        stall: float,
    ) -> Outcome | None:
        """Trains, and returns what became of the worker; None if it was stopped before it began.

        Args:
            command: of the worker, which saves and stops when this actor dies, in whatever way.
            directory: where the command is run.
            folder: the run directory.
            variables: added to the environment that Ray gives, in which `CUDA_VISIBLE_DEVICES` names the
                GPUs of this actor.
            stall: see `Watch`.
        """
        with self._lock:
            if self._stopped:
                return None
            watch = self._watch = start(
                command, Path(folder), stall, variables=variables, directory=directory
            )
        while (outcome := watch.poll()) is None:
            time.sleep(_PAUSE)
        return outcome

    def stop(self) -> None:
        """SIGTERM to the worker, which saves and stops."""
        with self._lock:
            self._stopped = True
            if self._watch is not None:
                self._watch.stop()

    def kill(self) -> None:
        """SIGKILL to the worker."""
        with self._lock:
            self._stopped = True
            if self._watch is not None:
                self._watch.kill()
