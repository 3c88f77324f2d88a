"""Programs in turns, and what the rounds say: medians, spread, the median of paired ratios.

A machine's speed drifts by more than the differences of interest, so each round times all programs next to
each other, and differences are those of rounds; the order is reversed every other round.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import jax

K = TypeVar("K", bound=Hashable)
Advance = Callable[..., tuple[Any, Any]]

_WARM_UP_STEPS = 2
_IN_FLIGHT = 2
# A turn of more begins with one that is not timed: caches still hold what the program before has left there.
_FEW_STEPS = 3


class Timed(Protocol):
    """A program, ready to run."""

    def run(self, steps: int) -> float:
        """Seconds that `steps` steps take, the last one finished; nothing runs before or after."""
        ...


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], others: Sequence[float]) -> Self:
        """The spread of `value / other`, round by round."""
        return cls.of([value / other for value, other in zip(values, others, strict=True)])


class Repeated:
    """A compiled program that is run again and again on data that lies on the device."""

    def __init__(
        self,
        advance: Advance,
        carry: Any = None,
        *,
        in_flight: int = _IN_FLIGHT,
        at_once: int = 0,
    ) -> None:
        """Keeps what a step needs.

        Args:
            advance: `carry -> (carry, result)`; it may consume the carry. With `at_once`, `(carry, steps)`.
            carry: state before the first step.
            in_flight: steps that the host may run ahead of the device. As in the training loop by default: it
                prepares the next step while one runs. 0: every result is waited for, as for a latency.
            at_once: the most steps that a call may make; 0: each makes one.
        """
        self._advance, self._carry, self._in_flight = advance, carry, in_flight
        self._at_once = at_once

    def run(self, steps: int) -> float:
        """Seconds of `steps` steps, until their results are there."""
        running: deque[Any] = deque()
        start = time.perf_counter()
        for done in range(0, steps, self._at_once or 1):
            several = (min(self._at_once, steps - done),) if self._at_once else ()
            self._carry, result = self._advance(self._carry, *several)
            running.append(result)
            if len(running) > self._in_flight:
                jax.block_until_ready(running.popleft())
        jax.block_until_ready((self._carry, list(running)))  # of a deque it would not wait
        return time.perf_counter() - start


@dataclass(frozen=True)
class Turns:
    """The turns of a program: steps of each, and seconds a step by round."""

    steps: int
    seconds: tuple[float, ...]


def take_turns(
    programs: Mapping[K, Timed],
    *,
    rounds: int,
    seconds: float,
    least_steps: int = 1,
    settle: float = 0.0,
    tick: Callable[[str], None] = lambda _: None,
) -> dict[K, Turns]:
    """Times the programs in turns.

    Args:
        programs: what is timed; each is warmed up first, and by one step at each turn of more than three.
        rounds: how often each has its turn.
        seconds: about how long a turn takes; the second of two warm-up runs tells how many steps that is.
        least_steps: of a turn.
        settle: seconds of rest before a turn, for threads of another runtime that spin after their last task.
        tick: called with what comes next, before the warm-up and before each round.
    """
    tick("warming up")
    steps = {}
    for name, program in programs.items():
        program.run(_WARM_UP_STEPS)
        steps[name] = max(least_steps, round(seconds / program.run(1)))
    times: dict[K, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for number in range(rounds):
        tick(f"round {number + 1} of {rounds}")
        for index in order(number, len(names)):
            name = names[index]
            time.sleep(settle)
            if steps[name] > _FEW_STEPS:
                programs[name].run(1)
            times[name].append(programs[name].run(steps[name]) / steps[name])
    return {name: Turns(steps[name], tuple(times[name])) for name in names}


def order(number: int, programs: int) -> list[int]:
    """Which program goes when in round `number`, from 0: the order is reversed every other round."""
    return list(range(programs))[:: 1 if number % 2 == 0 else -1]
