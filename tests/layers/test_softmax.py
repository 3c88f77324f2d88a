"""The softmax for large logits equals the usual one, and stays finite where that does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.layers import softmax

X = 3 * jax.random.normal(jax.random.key(0), (2, 5, 7))
V, W = (jax.random.normal(jax.random.key(seed), X.shape) for seed in (1, 2))


@pytest.mark.parametrize("axis", [-1, 1])
def test_values_and_derivatives_are_the_usual_ones(axis: int) -> None:
    def derivatives(function):
        def scalar(x):
            return jnp.sum(function(x, axis) * W)

        (value, slope), (_, curvature) = jax.jvp(jax.value_and_grad(scalar), (X,), (V,))
        return function(X, axis), value, slope, curvature

    ours, usual = jax.jit(lambda: [derivatives(f) for f in (softmax, jax.nn.softmax)])()
    for a, b in zip(ours, usual, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_logits_beyond_the_exponential_choose_the_largest() -> None:
    x = jnp.array([[3e8, 1e8, -4e8], [-1e30, -1e30, -2e30]])
    expected = [[1, 0, 0], [0.5, 0.5, 0]]
    np.testing.assert_array_equal(jax.jit(softmax, static_argnums=1)(x, -1), expected)
