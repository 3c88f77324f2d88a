"""Decides what is computed: which runs are done, which are given to the launcher, and which are given up.

All it knows lies in the run directories, so that it may be killed at any moment and started again.
"""

import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence

from chanattn.cli import FAILED, PREEMPTED, USAGE
from chanattn.duration import duration
from chanattn.sweep.launchers.base import Ended, Job, Launcher
from chanattn.sweep.status import failure, is_done, mark_failed, unmark_failed
from chanattn.sweep.watch import files
from chanattn.training.lock import LOCK, is_held

_PAUSE = 0.3  # seconds, at most, between two looks at the workers
Observer = Callable[[str, Job, str], None]


class Controller:
    """Brings the runs of a sweep to their end.

    Args:
        jobs: the runs wanted, in the order in which they are to be computed.
        launcher: computes them.
        tell: called with ("done" | "again" | "failed" | "held" | "withdrawn", job, detail) when that happens.
        retry_failed: compute runs again that failed earlier.
        max_losses: how often the worker of a run may vanish before the run counts as failed.
        stall: seconds after which a process of others that holds a run and writes nothing is told of; 0:
            never.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        launcher: Launcher,
        tell: Observer,
        *,
        retry_failed: bool = False,
        max_losses: int = 3,
        stall: float = 0.0,
    ) -> None:
        self._jobs, self._launcher, self._tell = list(jobs), launcher, tell
        self._max_losses, self._stall = max_losses, stall
        self._losses: Counter[Job] = Counter()
        self._held: list[Job] = []
        self._silent: dict[Job, tuple[object, float]] = {}  # what is there, since when
        self._open = set[Job]()
        self._withdrawn = set[Job]()
        for job in jobs:
            if retry_failed and not is_done(job):
                unmark_failed(job)

    def run(self, stop: Callable[[], bool], look: Callable[[], None]) -> bool:
        """Computes what is not done and has not failed.

        Args:
            stop: asked every moment whether to give up.
            look: called as often, to show how things stand.

        Returns:
            Whether nothing is left to compute; False after `stop`.
        """
        for job in self._jobs:
            self.add(job)
        while self._open:
            for ended in self._launcher.poll():
                self._ended(ended)
            waiting, self._held = self._held, []
            for job in waiting:
                if is_done(job):  # by the worker that held it
                    self._close("done", job, "")
                else:
                    self._submit(job)
            look()
            if self._open and stop():
                return False
            if self._open:
                self._launcher.wait(_PAUSE)
        return True

    def add(self, job: Job) -> None:
        """Has one more run computed if it is not done and has not failed, also while others are computed."""
        if not is_done(job) and failure(job) is None:
            self._submit(job)

    def withdraw(self, job: Job) -> None:
        """Gives up a run that is queued or computed; its directory stays as it is."""
        if job in self._held:
            self._held.remove(job)
            self._close("withdrawn", job, "")
        elif job in self._open:
            self._withdrawn.add(job)
            self._launcher.stop(job)

    def _submit(self, job: Job) -> None:
        """Queues a run, unless a worker of a sweep that was killed has not left it yet."""
        first = job not in self._open
        self._open.add(job)
        if is_held(job.workdir):
            if first:
                self._tell("held", job, "another process trains it; waiting for its end")
            self._held.append(job)
            self._tell_of_silence(job)
        else:
            self._launcher.submit(job)

    def _tell_of_silence(self, job: Job) -> None:
        """Says once that a process which is not this sweep's to end may hang."""
        there, now = files(job.workdir), time.monotonic()
        before, since = self._silent.get(job, (None, now))
        if before != there:
            self._silent[job] = there, now
        elif self._stall and now - since > self._stall:
            self._silent[job] = there, math.inf
            wrote = f"has written nothing for {duration(self._stall)}"
            how = f"fuser -v {shlex.quote(str(job.workdir / LOCK))}"
            self._tell("held", job, f"its process {wrote}; see whether it hangs, and end it: {how}")

    def _ended(self, ended: Ended) -> None:
        job, code, detail = ended.job, ended.code, ended.detail
        if is_done(job):  # whatever came after its last file was written
            self._close("done", job, detail)
        elif job in self._withdrawn:
            self._close("withdrawn", job, detail)
        elif code == PREEMPTED or (code == USAGE and is_held(job.workdir)):
            self._tell("again", job, detail or "preempted")
            self._submit(job)
        elif code in {FAILED, USAGE}:
            self._fail(ended)
        else:
            self._losses[job] += 1
            if self._losses[job] > self._max_losses:
                self._fail(ended)
            else:
                self._tell("again", job, detail or "its worker vanished")
                self._submit(job)

    def _fail(self, ended: Ended) -> None:
        mark_failed(ended)
        self._close("failed", ended.job, ended.detail or f"exit code {ended.code}")

    def _close(self, what: str, job: Job, detail: str) -> None:
        self._open.discard(job)
        self._withdrawn.discard(job)
        self._tell(what, job, detail)
