"""Two sides in turns, and what the rounds say: medians, spread, the median of paired ratios.

A machine's speed drifts by more than the differences of interest, so each round times both sides next to
each other and gives one ratio; the side that goes first changes every round.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.sides import Side

_WARM_UP_STEPS = 2
_LEAST_STEPS = 2
# Threads of both runtimes spin a little after their last task; the next side shall not pay for that.
_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Timing:
    """Images a second of every round, by side, and the steps that a round has."""

    rates: tuple[tuple[float, ...], ...]
    steps: tuple[int, ...]

    def rate(self, side: int) -> Spread:
        """Images a second of a side."""
        return Spread.of(self.rates[side])

    def ratio(self) -> Spread:
        """First side over second, round by round."""
        return Spread.of([a / b for a, b in zip(*self.rates, strict=True)])


def measure(
    sides: Sequence[Side],
    *,
    batch: int,
    rounds: int,
    seconds: float,
    tick: Callable[[str], None],
) -> Timing:
    """Times the sides in turns.

    Args:
        sides: one or two.
        batch: images a step.
        rounds: how often each has its turn.
        seconds: about how long a turn takes; at least two steps.
        tick: called with what comes next, before the warm-up and before each round.
    """
    tick("warming up")
    steps = tuple(_steps(side, seconds) for side in sides)
    rates: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        tick(f"round {number + 1} of {rounds}")
        for index in order(number, len(sides)):
            time.sleep(_SETTLE_SECONDS)
            rates[index].append(steps[index] * batch / sides[index].run(steps[index]))
    return Timing(tuple(map(tuple, rates)), steps)


def order(number: int, sides: int) -> list[int]:
    """Which side goes when in round `number`, from 0: the order is reversed every other round."""
    return list(range(sides))[:: 1 if number % 2 == 0 else -1]


def _steps(side: Side, seconds: float) -> int:
    """Steps that take about `seconds`, from the second of two warm-up runs."""
    side.run(_WARM_UP_STEPS)
    each = side.run(1)
    return max(_LEAST_STEPS, round(seconds / each))
