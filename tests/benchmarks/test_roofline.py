"""Limits of the machine, and the share of its floor that a gate reaches."""

import pytest

from benchmarks import roofline
from chanattn.errors import UsageError


def test_limits_are_a_bandwidth_and_rates() -> None:
    rows = roofline.limits(megabytes=1, side=32, rounds=1)
    assert [row["what"] for row in rows] == ["copy", "product", "product"]
    assert rows[0]["gb_per_s"] == pytest.approx(2 * 1e6 / (rows[0]["ms"] / 1e3) / 1e9)
    assert rows[2]["tflop_per_s"] == pytest.approx(2 * 32**3 / (rows[2]["ms"] / 1e3) / 1e12)


def test_the_floor_is_two_passes_forward_and_five_with_backward() -> None:
    shape, bandwidth = (2, 4, 4, 16), 1e9
    rows = roofline.gate("se", shape, "bfloat16", bandwidth, rounds=1)
    size = 2 * 4 * 4 * 16 * 2
    for row, passes in zip(rows, (2, 5), strict=True):
        assert row["share"] == pytest.approx(passes * size / bandwidth / (row["ms"] / 1e3))


def test_a_shape_is_four_numbers() -> None:
    assert roofline._shape("32, 56,56,256") == (32, 56, 56, 256)
    with pytest.raises(UsageError, match="no|not N,H,W,C"):
        roofline._shape("32,56,256")
