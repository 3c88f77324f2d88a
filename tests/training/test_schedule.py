"""Learning rates against their formulas, in numpy."""

import numpy as np
import pytest

from chanattn.errors import UsageError
from chanattn.training.schedule import make_schedule, total_steps

T, W, PEAK = 40, 8, 0.1


def rates(config):
    schedule = make_schedule(config, T, steps_per_epoch=4)
    return np.array([schedule(t) for t in range(T)])


def expected(shape):
    t = np.arange(T)
    return PEAK * np.where(t < W, (t + 1) / W, shape(t))


@pytest.mark.parametrize(
    ("name", "end", "shape"),
    [
        ("cosine", 0.0, lambda t: (1 + np.cos(np.pi * (t - W) / (T - W))) / 2),
        ("cosine", 0.1, lambda t: 0.1 + 0.9 * (1 + np.cos(np.pi * (t - W) / (T - W))) / 2),
        ("polynomial", 0.0, lambda t: (1 - (t - W) / (T - W)) ** 2),
        ("polynomial", 0.5, lambda t: 0.5 + 0.5 * (1 - (t - W) / (T - W)) ** 2),
        ("constant", 0.0, np.ones_like),
        ("step", 0.0, lambda t: np.select([t < 20, t < 30], [1.0, 0.1], 0.01)),
    ],
)
def test_schedule_equals_its_formula_after_a_warmup_that_reaches_the_peak(
    optimizer_config, name, end, shape
):
    optimizer_config.schedule.update(name=name, end_factor=end, warmup_steps=W)
    np.testing.assert_allclose(rates(optimizer_config), expected(shape), rtol=2e-6, atol=1e-9)


def test_warmup_in_epochs_counts_steps_of_the_epoch(optimizer_config):
    optimizer_config.schedule.update(name="cosine", warmup_steps=W)
    in_steps = rates(optimizer_config)
    optimizer_config.schedule.update(warmup_steps=0, warmup_epochs=2.0)
    np.testing.assert_array_equal(rates(optimizer_config), in_steps)


def test_without_warmup_the_first_step_has_the_peak(optimizer_config):
    assert rates(optimizer_config)[0] == np.float32(PEAK)


def test_two_boundaries_on_one_step_both_count(optimizer_config):
    optimizer_config.schedule.update(name="step", boundaries=(0.5, 0.5))
    np.testing.assert_allclose(rates(optimizer_config)[[19, 20]], [0.1, 0.001], rtol=1e-6)


def test_a_warmup_longer_than_the_training_is_refused(optimizer_config):
    optimizer_config.schedule.warmup_steps = 41
    with pytest.raises(UsageError, match=r"warm-up of 41 steps.*training of 40"):
        make_schedule(optimizer_config, T, 4)


@pytest.mark.parametrize(
    ("length", "steps"),
    [({"steps": 7}, 7), ({"epochs": 2.5}, 30), ({"examples": 1000}, 31)],
)
def test_length_in_steps_epochs_or_examples(optimizer_config, length, steps):
    optimizer_config.update({"steps": 0} | length)
    assert total_steps(optimizer_config, steps_per_epoch=12, batch_size=32) == steps


def test_a_length_below_one_step_is_refused(optimizer_config):
    optimizer_config.update(steps=0, examples=31)
    with pytest.raises(UsageError, match="examples=31 is less than one step of 32"):
        total_steps(optimizer_config, 12, 32)
