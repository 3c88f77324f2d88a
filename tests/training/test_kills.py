"""A training killed at random moments; the tool that does it is `tests.soak.kills`."""

import pytest

from tests.soak.kills import soak


@pytest.mark.parametrize(
    ("kills", "steps"), [(4, 40), pytest.param(30, 300, marks=pytest.mark.soak)]
)
def test_a_training_killed_at_random_moments_computes_what_an_undisturbed_one_does(
    tmp_path, kills, steps
):
    result = soak(tmp_path, kills, steps, seed=kills)
    assert result["lines_equal"] > steps
    assert result["arrays_equal"] > 100
