"""Loop, step and fixed step are measured, and nothing of it stays behind."""

import jax
import pytest

from benchmarks import loop


@pytest.mark.slow
def test_three_speeds_and_their_ratios() -> None:
    before = jax.config.jax_compilation_cache_dir
    row = loop.measure("digits", steps=8, rounds=1, batch_size=16, cpu_devices=1)
    assert row["batch"] == 16
    assert row["loop_over_step"] == row["loop_images_per_s"] / row["step_images_per_s"] > 0
    assert row["loop_over_fixed"] == row["loop_images_per_s"] / row["fixed_images_per_s"] > 0
    assert jax.config.jax_compilation_cache_dir == before
