"""What the soak of a training takes for growth, on figures made up."""

import numpy as np
import pytest

from tests.soak.training import growth, thin, verdict

SECONDS = 500


def made_up(*, leak=0.0, slower=0.0, threads=0, files=0):
    """Samples a second at 20 steps/s and 10 ms of the processor a step, with a warm-up of 40 s."""
    t = np.arange(SECONDS)
    step = 20 * (t + 1)
    share = t / SECONDS
    memory = 500 * (1 - np.exp(-t / 10)) + leak * share
    cpu = np.cumsum(20 * 0.010 * (1 + slower * share))
    busy = 10 * (t % 5 == 0)  # a checkpoint is written
    columns = (t, step, memory, 30 + busy + threads * share, 8 + busy + files * share, cpu)
    return list(zip(*columns, strict=True)), [(s, 10 * (1 + slower * s / step[-1])) for s in step]


def test_a_training_that_does_not_grow_passes():
    row = verdict(*made_up())
    assert growth(row) == []
    assert row["memory_growth"] == pytest.approx(0, abs=0.01)
    assert row["cpu_ms"] == pytest.approx([10, 10], rel=0.01)
    assert row["steps"] == 20 * SECONDS


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"leak": 50}, "memory"),
        ({"threads": 40}, "most_threads"),
        ({"files": 30}, "most_files"),
        ({"slower": 0.4}, "cpu_ms"),
    ],
)
def test_whatever_grows_is_named(change, found):
    assert growth(verdict(*made_up(**change))) == [found]


def test_thinned_samples_reach_over_the_whole_training():
    rows = [(float(i), i / 3) for i in range(1000)]
    some = thin(rows, 300)
    assert 200 < len(some) <= 300
    assert some[0] == (0, 0)
    assert some[-1][0] > 995
