"""How a sweep is stopped: its runs save first; an impatient second Ctrl-C ends them at once."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console

from chanattn.errors import Preempted
from chanattn.sweep.launchers.base import Launcher

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TWICE = (
    1.0  # seconds: one Ctrl-C may arrive twice, from the terminal and from a program in between
)


class Interrupt:
    """Notes the first signal while its `with` block runs, and puts the old handlers back at its end.

    SIGHUP stays ignored where it was, as under `nohup`. Further signals change nothing, but for a later
    Ctrl-C, which raises `Preempted` wherever the program is. Signal handlers belong to the main thread: in
    another one signals keep their usual meaning.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._when = 0.0
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        try:
            for number in _SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread
            self._before.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """What arrived, for people."""
        return "" if self._received is None else self._received.name

    def received(self) -> bool:
        """Whether the sweep has been told to stop."""
        return self._received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._when = signal.Signals(number), time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._when > _TWICE:
            raise Preempted(
                "stopped at once by another Ctrl-C; the same command continues from the last checkpoints."
            )


@contextlib.contextmanager
def closing(launcher: Launcher, console: Console) -> Iterator[None]:
    """Closes a launcher at the end of a `with` block: its runs save, of which the console tells."""
    try:
        yield
    finally:
        count = len(launcher.running())
        if count:
            console.print(
                f"stopping: {count} {'run saves' if count == 1 else 'runs save'} first;"
                " another Ctrl-C ends them at once"
            )
        launcher.close()
