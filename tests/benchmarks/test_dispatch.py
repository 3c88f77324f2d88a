"""Several steps in one dispatch."""

import pytest

from benchmarks import dispatch
from chanattn.errors import UsageError


def test_numbers_are_checked() -> None:
    assert dispatch._numbers("batches", "128,1024") == [128, 1024]
    with pytest.raises(UsageError, match="--batches=1,x"):
        dispatch._numbers("batches", "1,x")


@pytest.mark.slow
def test_a_dispatch_of_two_steps_counts_two() -> None:
    few = {"dataset.image_size": 8, "dataset.synthetic_examples": 8, "model.name": "resnet8"}
    rows = dispatch.measure(4, [1, 2], 2, 1, "float32", cpu_devices=1, **few)
    assert [row["steps_per_dispatch"] for row in rows] == [1, 2]
    assert all(row["images_per_s"] == 4 * row["steps_per_s"] > 0 for row in rows)
