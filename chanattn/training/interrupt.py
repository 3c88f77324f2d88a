"""SIGTERM and SIGINT ask a training to save and stop, rather than kill it."""

import signal
from types import FrameType, TracebackType
from typing import Self

import jax
import numpy as np
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupt:
    """Notes signals while its `with` block runs, and puts the old handlers back at its end.

    Further signals change nothing, so that an impatient second Ctrl-C cannot spoil the saving. Signal
    handlers belong to the main thread: in another one signals keep their usual meaning.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        try:
            for number in _SIGNALS:
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
        return self._received.name if self._received else "a signal to another process"

    def received(self) -> bool:
        """Whether this process has been told to stop."""
        return self._received is not None

    def received_anywhere(self) -> bool:
        """Whether any process of the run has been told to stop; every process must ask at the same step."""
        if jax.process_count() == 1:
            return self.received()
        return bool(np.any(multihost_utils.process_allgather(np.asarray(self.received()))))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received = signal.Signals(number)
