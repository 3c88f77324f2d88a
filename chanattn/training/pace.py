"""How far the host runs ahead of the device, and how many steps it asks for at once."""

import time
from collections import deque

import jax

_SECONDS_A_CALL = 0.1
"""Long beside what a call costs, and short for somebody who waits for the answer to a signal."""


class Pace:
    """Paces the calls of a program that makes several steps a call.

    Attributes:
        steps: that the next call should make: as many as take about a tenth of a second.
    """

    def __init__(self, in_flight: int) -> None:
        """Begins with one step a call.

        Args:
            in_flight: calls that the host may be ahead.
        """
        self.steps = 1
        self._in_flight = in_flight
        self._running: deque[tuple[int, jax.Array]] = deque()
        self._finished = time.monotonic()

    def called(self, steps: int, result: jax.Array) -> None:
        """Notes a call; waits for the one made `in_flight` calls before it.

        Args:
            steps: that it makes.
            result: something that it computes.
        """
        self._running.append((steps, result))
        if len(self._running) <= self._in_flight:
            return
        steps, result = self._running.popleft()
        result.block_until_ready()
        now = time.monotonic()
        fitting = int(_SECONDS_A_CALL * steps / max(now - self._finished, 1e-9))
        self.steps = max(1, min(fitting, 2 * self.steps))
        self._finished = now
