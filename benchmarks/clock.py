"""Seconds of one call of a jitted function, measured in alternation with others."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_AT_LEAST_S = 0.05  # a measurement shorter than this would be noise


def medians(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds a call, by name: the median over rounds in which all take turns.

    Args:
        calls: functions that return arrays; they are called once before, so that they are compiled.
        rounds: how often they take turns.
    """
    repeats = {name: _repeats(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_seconds(call, repeats[name]) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _repeats(call: Callable[[], Any]) -> int:
    _seconds(call, 1)
    return max(1, round(_AT_LEAST_S / _seconds(call, 1)))


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats - 1):
        call()
    jax.block_until_ready(call())
    return time.perf_counter() - start
