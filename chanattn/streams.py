"""Output that outlives its reader: a closed pipe, a full disk or a vanished terminal ends no work of hours.

Also the signals that ask a program to save and stop, for all processes of it.
"""

import contextlib
import io
import os
import signal
import sys
from typing import TextIO

#: A cluster's and a user's ways to ask: Slurm's `--signal` sends SIGUSR1 or SIGUSR2, a limit on processor
#: time SIGXCPU, a terminal or connection that breaks SIGHUP.
STOPPING = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),
)


class Lasting(io.TextIOBase):
    """A text stream that never raises: after its first error, of which stderr tells, all goes nowhere.

    Characters that its encoding lacks are escaped.

    Args:
        stream: where to; None, as `sys.stdout` is without a file behind it, takes nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """All of it, or nothing."""
        if self._stream is not None:
            known = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
            try:
                self._stream.write(known)
            except (OSError, ValueError) as error:  # ValueError: it was closed
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """What was written is on its way."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def close(self) -> None:
        """Does nothing: the stream is somebody else's, and outlives this one."""

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Of the stream.

        Raises:
            OSError: it has none.
        """
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def _give_up(self, error: Exception) -> None:
        """What the stream still holds would fail again when the program ends, so its file becomes another."""
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
        if stream is not sys.stderr:
            reason = getattr(error, "strerror", None) or error
            say(f"warning: stdout takes nothing any more ({reason}); the work goes on in silence")


def say(*lines: str) -> None:
    """Prints lines to stderr, whatever has become of it."""
    stderr = Lasting(sys.stderr)
    print(*lines, sep="\n", file=stderr)
    stderr.flush()


def fill_gaps() -> None:
    """Opens `/dev/null` for stdin, stdout and stderr where the program was started without.

    Else the next file that is opened takes their number, and what is printed would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
