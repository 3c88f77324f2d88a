"""Two sides in turns, and what the rounds say: medians, spread, the median of paired ratios.

A machine's speed drifts by more than the differences of interest, so each round times both sides next to
each other and gives one ratio; the side that goes first changes every round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.sides import Side
from chanattn.analysis.timing import Spread, take_turns

_LEAST_STEPS = 2
# Threads of both runtimes spin a little after their last task; the next side shall not pay for that.
_SETTLE_SECONDS = 0.1


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
        return Spread.of_ratios(*self.rates)


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
    turns = take_turns(
        {str(index): side for index, side in enumerate(sides)},
        rounds=rounds,
        seconds=seconds,
        least_steps=_LEAST_STEPS,
        settle=_SETTLE_SECONDS,
        tick=tick,
    ).values()
    rates = tuple(tuple(batch / each for each in turn.seconds) for turn in turns)
    return Timing(rates, tuple(turn.steps for turn in turns))
