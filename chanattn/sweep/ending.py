"""How a sweep is stopped: its runs save first; an impatient second Ctrl-C ends them at once."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from rich.console import Console

from chanattn.errors import Preempted
from chanattn.sweep.launchers.base import Launcher
from chanattn.training import interrupt


class Interrupt(interrupt.Interrupt):
    """As that of a training, but that a later Ctrl-C raises `Preempted` wherever the program is."""

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self._when = 0.0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.received():
            self._when = time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._when > interrupt.TWICE:
            raise Preempted(
                "stopped at once by another Ctrl-C; the same command continues from the last checkpoints."
            )
        super()._note(number, frame)


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
