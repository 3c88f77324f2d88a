"""What a side of the comparison is, and how JAX programs are timed."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import jax


class Side(Protocol):
    """One of two competitors on one row and mode, ready to run."""

    @property
    def parameters(self) -> int:
        """Trainable values."""
        ...

    @property
    def variant(self) -> str:
        """How it runs, in words."""
        ...

    def run(self, steps: int) -> float:
        """Seconds that `steps` steps take, the last one finished; nothing runs before or after."""
        ...


Advance = Callable[[Any], tuple[Any, Any]]

# As in the training loop: the host prepares the next step while one runs, but does not run ahead further.
_STEPS_IN_FLIGHT = 2


class JaxSide:
    """A compiled program that is run again and again on data that lies on the device."""

    def __init__(self, advance: Advance, carry: Any, *, parameters: int, variant: str) -> None:
        """Keeps what a step needs.

        Args:
            advance: `carry -> (carry, result)`; it may consume the carry.
            carry: state before the first step.
            parameters: trainable values.
            variant: how it runs, in words.
        """
        self._advance, self._carry = advance, carry
        self.parameters, self.variant = parameters, variant

    def run(self, steps: int) -> float:
        """Seconds of `steps` steps, until their results are there."""
        running: deque[Any] = deque()
        start = time.perf_counter()
        for _ in range(steps):
            self._carry, result = self._advance(self._carry)
            running.append(result)
            if len(running) > _STEPS_IN_FLIGHT:
                jax.block_until_ready(running.popleft())
        jax.block_until_ready((self._carry, list(running)))  # of a deque it would not wait
        return time.perf_counter() - start
