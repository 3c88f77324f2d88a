"""Seeds side by side, one after another and in processes are the same trainings."""

import pytest

from benchmarks import seeds


@pytest.mark.slow
def test_vmap_trains_what_a_sequence_trains() -> None:
    init, step = seeds.training("resnet8", "se", 4, 8, "float32")
    together, _ = seeds.together(init, step, [0, 1], 2)
    in_turn, seconds = seeds.one_by_one(init, step, [0, 1], 2)
    assert together == pytest.approx(in_turn, rel=1e-4)
    assert in_turn[0] != in_turn[1]
    assert seconds > 0
