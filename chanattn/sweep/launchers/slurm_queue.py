"""Which jobs there are: asked of Slurm, or of this machine where submitit runs them as processes."""

import contextlib
import dataclasses
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

# https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES. What is not of these will run or runs;
# a requeued job is pending again.
_OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}
_FORMAT = "%i|%T|%r|%j"
_PATIENCE = 60  # seconds for an answer of squeue or scancel


@dataclasses.dataclass(frozen=True)
class Entry:
    """One job in the queue.

    Attributes:
        identifier: number at Slurm, or of the process.
        name: of the job.
        state: Slurm's word in capitals.
        ours: whether it belongs to the sweep.
        reason: why it is in that state, if Slurm says so.
    """

    identifier: str
    name: str
    state: str
    ours: bool
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it computes or will."""
        return self.state not in _OVER

    @property
    def running(self) -> bool:
        """Whether it has been given a node."""
        return self.state in {"RUNNING", "COMPLETING"}


class Queue(Protocol):
    """A list of jobs, and how to end them."""

    def name(self, folder: Path) -> str:
        """The name that a job whose logs go to `folder` has in the list."""

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """The jobs of this user, those that ended lately among them; None if that is not known now."""

    def changed(self) -> None:
        """Makes the next question see what has been submitted meanwhile."""

    def cancel(self, identifiers: Collection[str]) -> None:
        """SIGTERM to the jobs of these numbers; those that have not begun never will."""


class Squeue:
    """Slurm's queue; works without Slurm's accounting, which many small clusters lack.

    Args:
        logs: the sweep's folder of logs.
        every: seconds for which an answer counts as new.
    """

    def __init__(self, logs: Path, every: float) -> None:
        self._logs, self._every = logs, every
        self._mark = f"@{hashlib.sha256(str(logs).encode()).hexdigest()[:12]}"
        self._asked = -every
        self._entries: list[Entry] | None = None

    def name(self, folder: Path) -> str:
        """The run for people, and a mark that only this sweep's jobs have: `se_r4/seed0@1f2e3d4c5b6a`."""
        return f"{folder.relative_to(self._logs)}{self._mark}"

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """As `Queue` says; asks Slurm no more often than `every` seconds unless `fresh`."""
        if fresh or time.monotonic() - self._asked >= self._every:
            self._entries = self._ask()
            self._asked = time.monotonic()
        return self._entries

    def changed(self) -> None:
        """Forgets the last answer."""
        self._asked = -self._every

    def cancel(self, identifiers: Collection[str]) -> None:
        """Slurm sends SIGTERM, and SIGKILL after its KillWait."""
        if identifiers:
            command = ["scancel", *sorted(identifiers)]
            # Without an answer they go on, and the same command takes them up.
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        self.changed()

    def _ask(self) -> list[Entry] | None:
        command = ["squeue", "--me", "--states=all", "--noheader", f"--format={_FORMAT}"]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None  # the controller of the cluster is busy or being restarted; its jobs go on
        entries = []
        for line in answer.stdout.splitlines():
            identifier, state, reason, name = line.split("|", 3)
            reason = "" if reason == "None" else reason
            entries.append(Entry(identifier, name, state, name.endswith(self._mark), reason))
        return entries


class Processes:
    """Jobs of submitit's local executor: processes that outlive the sweep that started them.

    Args:
        logs: the sweep's folder of logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    def name(self, folder: Path) -> str:
        """The folder itself: the process has it in its command line."""
        return str(folder)

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """As `Queue` says; what has ended is not listed."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has just ended
                continue
            if "submitit.local._local" not in words:
                continue
            folder = words[words.index("submitit.local._local") + 1]
            if Path(folder).is_relative_to(self._logs):
                found.append(Entry(path.parent.name, folder, "RUNNING", True))
        return found

    def changed(self) -> None:
        """Every question is asked anew."""

    def cancel(self, identifiers: Collection[str]) -> None:
        """SIGTERM to the processes."""
        ours = {entry.identifier for entry in self.entries() or ()}
        for identifier in ours & set(identifiers):
            try:
                os.kill(int(identifier), signal.SIGTERM)
            except ProcessLookupError:
                continue
