"""What Ray places on a node for each run: an actor that starts the worker there and can stop it."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chanattn.sweep.watch import Outcome, Watch

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
        folder: str,
        log: str,
        variables: Mapping[str, str],
        stall: float,
    ) -> Outcome | None:
        """Trains, and returns what became of the worker.

        Args:
            command: of the worker, which saves and stops when its standard input closes: that happens when
                this actor dies, in whatever way.
            folder: where the command is run.
            log: file that the worker's output is appended to.
            variables: added to the environment that Ray gives, in which `CUDA_VISIBLE_DEVICES` names the
                GPUs of this actor.
            stall: see `Watch`.

        Returns:
            None: it was stopped before it began.
        """
        with self._lock:
            if self._stopped:
                return None
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            with Path(log).open("ab") as output:
                worker = subprocess.Popen(
                    list(command),
                    cwd=folder,
                    env=os.environ | dict(variables),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            watch = self._watch = Watch(worker, Path(log).parent, stall)
        while (outcome := watch.poll()) is None:
            time.sleep(_PAUSE)
        if worker.stdin is not None:
            worker.stdin.close()
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
