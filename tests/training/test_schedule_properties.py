"""Learning rates of any schedule: within their bounds, at the peak when they should, falling afterwards."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from chanattn.training.schedule import make_schedule
from configs import base


@st.composite
def cases(draw):
    """A config with its length and warm-up in steps."""
    length = draw(st.integers(1, 10_000))
    config: ConfigDict = base.get_config()
    config.steps = length
    config.optimizer.learning_rate = draw(st.floats(1e-6, 10))
    config.schedule.update(
        name=draw(st.sampled_from(["cosine", "step", "polynomial", "constant"])),
        warmup_steps=draw(st.integers(0, length)),
        end_factor=draw(st.floats(0, 1)),
        power=draw(st.floats(0.1, 4)),
        factor=draw(st.floats(0.01, 1)),
        boundaries=tuple(sorted(draw(st.sets(st.floats(0.01, 0.99), min_size=1, max_size=4)))),
    )
    return config


@settings(max_examples=80)
@given(cases(), st.data())
def test_rates_are_those_of_the_formula_in_float64(config, drawn):
    s, peak, total, warmup = (
        config.schedule,
        config.optimizer.learning_rate,
        config.steps,
        config.schedule.warmup_steps,
    )
    some = drawn.draw(st.lists(st.integers(0, total), min_size=8, max_size=8))
    # Of one length, and sorted: JAX compiles for each shape.
    steps = np.sort([*some, 0, total - 1, max(0, warmup - 1), min(warmup, total - 1)])
    found = np.asarray(make_schedule(config, total, steps_per_epoch=10)(steps), np.float64)
    steps, first = np.unique(steps, return_index=True)
    found = found[first]
    u = np.clip((steps - warmup) / max(1, total - warmup), 0, 1)
    shape = {
        "cosine": s.end_factor + (1 - s.end_factor) * (1 + np.cos(np.pi * u)) / 2,
        "polynomial": s.end_factor + (1 - s.end_factor) * (1 - u) ** s.power,
        "constant": np.ones_like(u),
        "step": s.factor ** sum((steps >= round(b * total)).astype(float) for b in s.boundaries),
    }[s.name]
    expected = peak * np.where(steps < warmup, (steps + 1) / max(1, warmup), shape)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-6 * peak)
    assert (found >= 0).all()
    assert (found <= peak * (1 + 1e-6)).all()
    rising, falling = found[steps < warmup], found[steps >= warmup]
    assert (np.diff(rising) > 0).all()
    assert (np.diff(falling) <= 1e-6 * peak).all()
    if warmup:
        np.testing.assert_allclose(rising[-1], peak, rtol=1e-6)
