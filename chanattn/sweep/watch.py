"""Starts a worker, and ends one that makes no progress: a deadlock, a network disk that is gone.

Whoever starts a worker watches it, on the machine where it runs. Progress is any change in its run directory
(output, metrics, a checkpoint) or any processor time of the worker and its child processes: compiling and
slow evaluations take that, a process that waits for what never comes does not. A thread that spins for ever
is therefore not noticed, and neither is anything on systems without `/proc`.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from chanattn.duration import duration
from chanattn.runs.layout import OUTPUT

STALL_MINUTES = 30.0

Outcome = int | str
"""An exit code, minus the number of the signal that killed the worker, or why it was ended."""

_LOOKS = 20  # within the time that a worker may stand still
_SHARE = 0.002  # of a core: a training that hangs takes 0.0000, one that waits for its data more than this
_SAVING = 300.0  # seconds, at most, that a worker told to stop may stand still
# Of /proc/PID/stat behind the name.
_STATE, _PARENT, _TIMES = 0, 1, slice(11, 15)


def start(
    command: Sequence[str],
    folder: Path,
    stall: float,
    *,
    variables: Mapping[str, str],
    directory: str | None = None,
    session: bool = True,
    pass_fds: Sequence[int] = (),
) -> "Watch":
    """Starts the worker of a run.

    The pipe at its standard input closes with this process, however that ends, and the worker then saves and
    stops too; see `chanattn.sweep.worker`.

    Args:
        command: see `chanattn.sweep.worker.command`.
        folder: the run directory, made if absent; the output is appended to `OUTPUT` there.
        stall: see `Watch`.
        variables: added to the environment.
        directory: where the command is run; None: here.
        session: gives the worker a session of its own, so that Ctrl-C reaches the sweep alone, which then
            stops it in order.
        pass_fds: further file descriptors that the worker has, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as output:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(variables),
            cwd=directory,
            start_new_session=session,
            pass_fds=pass_fds,
        )
    return Watch(worker, folder, stall)


class Watch:
    """A worker process, and whether it still does anything.

    Args:
        worker: started a moment ago.
        folder: its run directory; what it prints is appended to the file `OUTPUT` there, if there is one.
        seconds: how long it may stand still until it is told to stop, and after that until it is killed; 0:
            for ever.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        worker: "subprocess.Popen[bytes]",
        folder: Path,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker, self._folder = worker, folder
        self._seconds = self._allowed = seconds
        self._clock = clock
        self._reason = ""
        self._told = False
        self._seen: object = None
        self._used = 0.0
        self._progress = self._looked = clock()

    def of_next(self, folder: Path) -> "Watch":
        """The same worker with another run, begun a moment ago."""
        return Watch(self._worker, folder, self._allowed, clock=self._clock)

    def code(self) -> Outcome | None:
        """What became of the worker; None while it runs, whether it does anything or not."""
        code = self._worker.poll()
        if code is None:
            return None
        if self._worker.stdin is not None:
            self._worker.stdin.close()
        return self._reason or code

    def poll(self) -> Outcome | None:
        """As `code`, and ends it if it stands still. To be called every second or so."""
        code = self.code()
        if code is not None:
            return code
        if self._seconds and self._stands_still():
            self._reason = self._reason or f"no progress for {duration(self._seconds)}"
            if self._told:
                self._worker.kill()
            else:
                self._note(f"{self._reason}: ended by the sweep")
                self.stop()
        return None

    def stop(self) -> None:
        """SIGTERM, once: the worker saves and ends, or is killed by a later `poll` if it does not move."""
        if self._told:
            return
        self._let_go()
        self._worker.terminate()
        self._told = True
        self._seconds = min(self._seconds, _SAVING)
        self._progress = self._clock()

    def kill(self) -> None:
        """SIGKILL: the worker ends now, and its run goes on from the last checkpoint."""
        self._worker.kill()
        self._worker.wait()
        self.poll()

    def _stands_still(self) -> bool:
        """Whether there has been no progress for too long."""
        now = self._clock()
        since = now - self._looked
        if since >= self._seconds / _LOOKS:
            self._looked = now
            seen, used = files(self._folder), _processor_time(self._worker.pid)
            if used is None or seen != self._seen or used - self._used > _SHARE * since:
                self._progress = now
            self._seen, self._used = seen, used or 0.0
        return now - self._progress > self._seconds

    def _let_go(self) -> None:
        """Tells a worker on a lifeline that the signal comes from here, so that it does not signal itself."""
        if self._worker.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended
                os.write(self._worker.stdin.fileno(), b"!")

    def _note(self, line: str) -> None:
        path = self._folder / OUTPUT
        with contextlib.suppress(OSError):  # perhaps the disk is what it waits for
            if path.exists():
                with path.open("a", encoding="utf-8") as output:
                    output.write(f"{line}\n")


def files(folder: Path) -> object:
    """What a run writes changes this."""
    try:
        found = []
        for entry in os.scandir(folder):
            status = entry.stat(follow_symlinks=False)
            found.append((entry.name, status.st_size, status.st_mtime_ns))
    except OSError:
        return None
    return sorted(found)


def _processor_time(pid: int) -> float | None:
    """Seconds that a process and its children have used; None if it is stopped, or that cannot be known."""
    processes = dict(_processes())
    own = processes.get(pid)
    if own is None or own[_STATE] in ("T", "t"):
        return None
    family, found = {pid}, [own]
    waiting = {other: fields for other, fields in processes.items() if other != pid}
    while grown := {p for p, fields in waiting.items() if int(fields[_PARENT]) in family}:
        family |= grown
        found += [waiting.pop(p) for p in grown]
    ticks = sum(int(text) for fields in found for text in fields[_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes() -> Iterator[tuple[int, list[str]]]:
    """The numbers of all processes, with the fields of /proc/PID/stat behind the name."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        yield int(path.parent.name), text.rpartition(") ")[2].split()
