"""Sides take turns, and ratios are those of rounds."""

from typing import Any

import pytest

from benchmarks import pairing
from benchmarks.pairing import Timing, measure
from benchmarks.sides import JaxSide
from chanattn.analysis.timing import Spread, order


class Fake:
    """A side that notes its turns and takes a fixed time a step."""

    parameters, variant = 1, "fake"

    def __init__(self, name: str, each: float, turns: list[str]) -> None:
        self.name, self.each, self.turns = name, each, turns

    def run(self, steps: int) -> float:
        self.turns.append(self.name)
        return steps * self.each


def test_the_side_that_goes_first_changes_every_round() -> None:
    assert [order(number, 2) for number in range(4)] == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert order(1, 1) == [0]


def test_sides_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "_SETTLE_SECONDS", 0.0)
    turns: list[str] = []
    sides = [Fake("ours", 0.25, turns), Fake("peer", 0.5, turns)]
    timing = measure(sides, batch=8, rounds=3, seconds=2.0, tick=lambda _: None)
    warm_up, rounds = turns[:4], turns[4:]
    assert warm_up == ["ours", "ours", "peer", "peer"]
    assert rounds == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert timing.steps == (8, 4)
    assert timing.rates == ((32.0,) * 3, (16.0,) * 3)
    assert timing.ratio() == Spread(2.0, 2.0, 2.0)


def test_a_round_has_two_steps_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "_SETTLE_SECONDS", 0.0)
    timing = measure([Fake("ours", 9.0, [])], batch=1, rounds=1, seconds=2.0, tick=lambda _: None)
    assert timing.steps == (2,)


def test_ratio_is_the_median_of_the_ratios_of_rounds() -> None:
    # The machine was slow in the second round: the ratio of the medians would be 10 / 8.
    timing = Timing(((10.0, 4.0, 12.0), (8.0, 2.0, 16.0)), (1, 1))
    assert timing.rate(0) == Spread(10.0, 4.0, 12.0)
    assert timing.ratio() == Spread(1.25, 0.75, 2.0)
    assert Timing(((10.0, 4.0, 12.0), (10.0, 2.0, 6.0)), (1, 1)).ratio().median == 2.0


def test_a_jax_side_waits_for_its_last_results() -> None:
    waited = []

    class Result:
        def __init__(self, number: int) -> None:
            self.number = number

        def block_until_ready(self) -> "Result":
            waited.append(self.number)
            return self

    def advance(carry: int) -> tuple[int, Any]:
        return carry + 1, Result(carry)

    JaxSide(advance, 0, parameters=0, variant="").run(5)
    assert waited == [0, 1, 2, 3, 4]
