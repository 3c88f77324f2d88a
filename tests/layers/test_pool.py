"""The maximum over windows, by oneDNN as by XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import onednn
from chanattn.layers import kernels, max_pool

needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason=f"oneDNN cannot be loaded: {onednn.reason_absent()}"
)


def of_both(x, *window):
    """Maxima, and a gradient that differs from window to window."""
    y, pull = jax.vjp(lambda x: max_pool(x, *window), x)
    return y, *pull(1.0 + jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))


@needs_onednn
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((2, 16, 16, 8), (3, 2, 1)),
        ((2, 15, 17, 5), (3, 2, 1)),
        ((1, 8, 8, 3), (2, 2)),
        ((2, 4, 4, 8), (3, 2)),  # the last row and column are in no window
        ((2, 7, 7, 4), (3, 1, 1)),
    ],
)
def test_value_and_gradient_are_those_of_xla_to_the_bit_with_many_ties(shape, window):
    x = jnp.asarray(np.random.default_rng(0).integers(-3, 3, shape), jnp.float32)
    expected = jax.jit(of_both, static_argnums=(1, 2, 3))(x, *window)
    with kernels.chosen("onednn"):
        program = jax.jit(lambda x: of_both(x, *window))
        assert "chanattn.onednn.max_pool" in program.lower(x).as_text()
        found = program(x)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_onednn
@pytest.mark.parametrize("x", [jnp.ones((0, 4, 4, 2)), jnp.ones((1, 4, 4, 2), jnp.bfloat16)])
def test_what_onednn_does_not_take_is_xlas(x):
    with kernels.chosen("onednn"):
        text = jax.jit(lambda x: max_pool(x, 3, 2, 1)).lower(x).as_text()
    assert "custom_call" not in text
