"""Signals that ask a training to save and stop, rather than kill it."""

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from chanattn.streams import STOPPING, say
from chanattn.training.agreement import any_says

_ALWAYS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Seconds: one Ctrl-C may arrive twice, from the terminal and from a program in between.
TWICE = 1.0


class Interrupt:
    """Notes signals while its `with` block runs, and puts the old handlers back at its end.

    What was ignored before, as SIGHUP is under `nohup`, stays so; SIGUSR1, SIGUSR2 and SIGXCPU are left to
    whoever handles them already. Further signals change nothing, so that a scheduler's second SIGTERM cannot
    spoil the saving; but a second Ctrl-C, more than a second after the first, ends the process at once, with
    exit code 130 and without saving, even while it compiles or waits for a disk.

    Signal handlers belong to the main thread: in another one signals keep their usual meaning.

    Args:
        at_once: end the process at a second Ctrl-C.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self._at_once = at_once
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, signal._HANDLER] = {}
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if self._at_once:
                self._watch()
            for number in STOPPING:
                before = signal.getsignal(number)
                taken = number not in _ALWAYS and before is not signal.SIG_DFL
                if before is not signal.SIG_IGN and not taken:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: a library has set it, which Python cannot.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._undo.close()

    @property
    def name(self) -> str:
        """What arrived, for people."""
        return self._received.name if self._received else "a signal to another process"

    def received(self) -> bool:
        """Whether this process has been told to stop."""
        return self._received is not None

    def received_anywhere(self) -> bool:
        """Whether any process of the run has been told to stop; every process must ask at the same step."""
        return any_says(self.received())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received = signal.Signals(number)

    def _watch(self) -> None:
        """Starts a thread that hears of signals though the main one may be deep in a compiler."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        watcher = threading.Thread(target=_end_at_second_ctrl_c, args=(ours,), daemon=True)
        self._undo.callback(ours.close)
        self._undo.callback(watcher.join)
        self._undo.callback(theirs.close)
        self._undo.callback(signal.set_wakeup_fd, before)
        watcher.start()


def _end_at_second_ctrl_c(signals: socket.socket) -> None:
    """Reads the number of every signal, a byte each."""
    first: float | None = None
    while numbers := signals.recv(1):
        if numbers[0] != signal.SIGINT:
            continue
        if first is None:
            first = time.monotonic()
            say(
                "Ctrl-C: it saves and stops; once more ends it at once, and what is not saved is lost"
            )
        elif time.monotonic() - first > TWICE:
            os._exit(128 + signal.SIGINT)
