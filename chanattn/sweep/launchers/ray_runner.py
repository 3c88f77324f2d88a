"""What Ray places on a node for each run: an actor that starts the worker there and can stop it."""

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Runner:
    """A worker on the node of this actor, as a process of its own.

    A process, because a worker wants the main thread for its signals, and a JAX that nobody has started yet.
    Ray calls the methods in threads of their own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ready(self) -> bool:
        """Answers once the actor has a node."""
        return True

    def run(
        self, command: Sequence[str], folder: str, log: str, variables: Mapping[str, str]
    ) -> int | None:
        """Trains, and returns the worker's exit code, or minus the number of the signal that killed it.

        Args:
            command: of the worker, which saves and stops when its standard input closes: that happens when
                this actor dies, in whatever way.
            folder: where the command is run.
            log: file that the worker's output is appended to.
            variables: added to the environment that Ray gives, in which `CUDA_VISIBLE_DEVICES` names the
                GPUs of this actor.

        Returns:
            None: it was stopped before it began.
        """
        with self._lock:
            if self._stopped:
                return None
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            with Path(log).open("ab") as output:
                worker = self._worker = subprocess.Popen(
                    list(command),
                    cwd=folder,
                    env=os.environ | dict(variables),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return worker.wait()

    def stop(self) -> None:
        """SIGTERM to the worker, which saves and stops."""
        with self._lock:
            self._stopped = True
            if self._worker is not None:
                self._worker.terminate()
