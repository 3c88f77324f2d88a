"""What a side of the comparison is; ours is a JAX program."""

from typing import Any, Protocol

from chanattn.analysis.timing import Advance, Repeated


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


class JaxSide(Repeated):
    """A compiled program that is run again and again on data that lies on the device."""

    def __init__(self, advance: Advance, carry: Any, *, parameters: int, variant: str) -> None:
        """Keeps what a step needs.

        Args:
            advance: `carry -> (carry, result)`; it may consume the carry.
            carry: state before the first step.
            parameters: trainable values.
            variant: how it runs, in words.
        """
        super().__init__(advance, carry)
        self.parameters, self.variant = parameters, variant
