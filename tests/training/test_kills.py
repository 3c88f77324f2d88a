"""A training killed at random moments; the tool that does it is `tests.soak.kills`."""

import pytest

from tests.soak.kills import soak


@pytest.mark.parametrize(
    ("kills", "steps", "seed"),
    # The short form: a kill after some steps, and one while the training starts again.
    [(2, 40, 39), pytest.param(30, 300, 30, marks=pytest.mark.soak)],
)
def test_a_training_killed_at_random_moments_computes_what_an_undisturbed_one_does(
    tmp_path, kills, steps, seed
):
    result = soak(tmp_path, kills, steps, seed=seed)
    assert result["lines_equal"] > steps
    assert result["while_starting"] > 0
    assert result["arrays_equal"] > 100
