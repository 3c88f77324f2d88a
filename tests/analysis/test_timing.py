"""Programs take turns, and differences are those of rounds."""

import time

import pytest

from chanattn.analysis.timing import Repeated, Spread, order, take_turns


class Fake:
    """A program that notes its turns; a step takes as long as the machine's speed allows."""

    def __init__(self, name: str, each: float, turns: list[tuple[str, int]]) -> None:
        self.name, self.each, self.turns = name, each, turns

    def run(self, steps: int) -> float:
        self.turns.append((self.name, steps))
        drift = 1 + len(self.turns)  # ever slower
        return steps * self.each * drift


def test_programs_are_warmed_up_and_take_turns_in_alternating_order() -> None:
    turns: list[tuple[str, int]] = []
    programs = {name: Fake(name, 0.01, turns) for name in "abc"}
    take_turns(programs, rounds=3, seconds=0.0)
    assert [name for name, _ in turns[:6]] == list("aabbcc")
    assert "".join(name for name, _ in turns[6:]) == "abccbaabc"
    assert all(steps == 1 for _, steps in turns[6:])


def test_a_turn_of_many_steps_begins_with_one_that_is_not_timed() -> None:
    class Cold:
        """Its first step after another program takes longer."""

        last: "Cold | None" = None

        def run(self, steps: int) -> float:
            seconds = steps * 0.125 + (0.0 if Cold.last is self else 0.5)
            Cold.last = self
            return seconds

    found = take_turns({"a": Cold(), "b": Cold()}, rounds=2, seconds=1.0)
    assert all(turns.seconds == (0.125,) * 2 for turns in found.values())


def test_a_turn_has_as_many_steps_as_fit() -> None:
    class Steady:
        def run(self, steps: int) -> float:
            return steps * 0.125

    result = take_turns({"a": Steady()}, rounds=4, seconds=1.0)["a"]
    assert result.steps == 8
    assert result.seconds == (0.125,) * 4
    assert take_turns({"a": Steady()}, rounds=1, seconds=0.0, least_steps=2)["a"].steps == 2


def test_every_round_is_announced() -> None:
    told: list[str] = []
    take_turns({"a": Fake("a", 1.0, [])}, rounds=2, seconds=0.0, tick=told.append)
    assert told == ["warming up", "round 1 of 2", "round 2 of 2"]


def test_spread_is_median_and_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_ratios_are_those_of_rounds() -> None:
    # The machine was four times slower in the second round, for both.
    assert Spread.of_ratios([1.0, 4.0, 1.5], [0.5, 2.0, 0.5]) == Spread(2.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="zip"):
        Spread.of_ratios([1.0], [1.0, 2.0])


def test_order_is_reversed_every_other_round() -> None:
    assert [order(number, 3) for number in range(3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


class Sleeping:
    """A result that is there some time after it was asked for."""

    def __init__(self, seconds: float, waited: list[float]) -> None:
        self.ready, self.waited = time.perf_counter() + seconds, waited

    def block_until_ready(self) -> "Sleeping":
        time.sleep(max(0.0, self.ready - time.perf_counter()))
        self.waited.append(time.perf_counter())
        return self


@pytest.mark.parametrize(("in_flight", "waits"), [(0, 4), (2, 2)])
def test_a_latency_waits_for_every_result_and_a_rate_does_not(in_flight: int, waits: int) -> None:
    # Results come 30 ms after their dispatch, side by side: with two in flight, three share each wait.
    waited: list[float] = []
    program = Repeated(lambda carry: (carry, Sleeping(0.03, waited)), in_flight=in_flight)
    seconds = program.run(4)
    assert len(waited) == 4
    assert 0.03 * waits <= seconds < 0.03 * waits + 0.1


def test_the_carry_of_a_step_is_that_of_the_one_before() -> None:
    seen: list[int] = []

    def advance(carry: int) -> tuple[int, int]:
        seen.append(carry)
        return carry + 1, carry

    program = Repeated(advance, 0)
    program.run(2)
    program.run(1)
    assert seen == [0, 1, 2]
