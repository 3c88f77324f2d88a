"""Runs as processes of this machine, several side by side, each on its share of the cores or on its GPU."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from chanattn.cli import PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.machine import places
from chanattn.sweep.watch import OUTPUT, Watch
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
        self._workers: dict[Job, tuple[subprocess.Popen[bytes], Watch, dict[str, str]]] = {}

    def submit(self, job: Job) -> None:
        """See `Launcher.submit`."""
        self._queue.append(job)
        self._start()

    def poll(self) -> Sequence[Ended]:
        """See `Launcher.poll`."""
        ended, self._stopped = self._stopped, []
        for job, (worker, watch, place) in list(self._workers.items()):
            outcome = watch.poll()
            if outcome is not None:
                self._bury(job, worker)
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
            self._workers[job][1].stop()
        elif job in self._queue:
            self._queue.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))

    def close(self) -> None:
        """See `Launcher.close`."""
        self._queue.clear()
        try:
            for _, watch, _ in self._workers.values():
                watch.stop()
            while any(watch.poll() is None for _, watch, _ in self._workers.values()):
                time.sleep(_PAUSE)
        finally:  # nobody is left, unless this was interrupted
            for job, (worker, watch, _) in list(self._workers.items()):
                watch.kill()
                worker.wait()
                self._bury(job, worker)

    def _start(self) -> None:
        while self._queue and self._free:
            job, place = self._queue.popleft(), self._free.pop()
            worker = _spawn(job, place)
            self._workers[job] = worker, Watch(worker, job.workdir, self._stall), place

    def _bury(self, job: Job, worker: subprocess.Popen[bytes]) -> None:
        assert worker.stdin is not None
        worker.stdin.close()
        del self._workers[job]


def _spawn(job: Job, place: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, so that Ctrl-C reaches the sweep alone, which then stops it in order.

    The pipe at its standard input closes with this process, however that ends, and the worker then saves and
    stops too; see `chanattn.sweep.worker`.
    """
    job.workdir.mkdir(parents=True, exist_ok=True)
    with (job.workdir / OUTPUT).open("ab") as output:
        return subprocess.Popen(
            [*command(job), "--lifeline"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | place,
            start_new_session=True,
        )
