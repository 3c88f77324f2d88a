"""Peak memory of a step: in a process of its own, after the compiler's memory has gone."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import memory
from benchmarks.child import Child
from chanattn.errors import UsageError


def test_the_plan_counts_aliased_memory_once() -> None:
    sizes = {"argument": 3e6, "temp": 5e6, "output": 2e6, "alias": 1e6}
    analysis = SimpleNamespace(**{f"{n}_size_in_bytes": size for n, size in sizes.items()})
    assert memory._plan(analysis)["planned_mb"] == 9


def test_a_new_peak_begins_where_the_resident_set_is() -> None:
    large = np.ones(25_000_000)
    del large
    base = memory._reset_resident_peak()
    assert memory._resident_mb(peak=True) < base + 50
    again = np.ones(25_000_000)
    assert memory._resident_mb(peak=True) > base + 150
    assert again.size


@pytest.mark.slow
def test_a_child_measures_a_row() -> None:
    with Child("benchmarks.memory", ["--child", "--rows=resnet20_se", "--batch_size=2"]) as child:
        row = child.result()
    assert (row["row"], row["batch"], row["image_size"]) == ("resnet20_se", 2, 32)
    assert row["peak_mb"] >= row["base_mb"] > 100
    assert row["planned_mb"] > 2


def test_a_child_hands_on_what_is_wrong_with_its_flags() -> None:
    with (
        Child("benchmarks.memory", ["--child", "--rows=resnet9"]) as child,
        pytest.raises(UsageError, match="unknown row 'resnet9'"),
    ):
        child.result()
