"""The maximum: values and gradients of `jnp.max`, ties included, and none of its NaNs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.layers import maximum


@pytest.mark.parametrize("axis", [-1, (1, 2)])
def test_value_and_gradient_are_those_of_the_usual_maximum(axis: int | tuple[int, int]) -> None:
    x = jnp.round(jax.random.normal(jax.random.key(0), (3, 4, 5, 6)))  # many ties
    g = jax.random.normal(jax.random.key(1), jnp.max(x, axis=axis).shape)
    value, pull = jax.vjp(lambda x: maximum(x, axis), x)
    expected, expected_pull = jax.vjp(lambda x: jnp.max(x, axis=axis), x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(pull(g)[0], expected_pull(g)[0], rtol=1e-6)


def test_a_picture_at_a_time_gives_the_same() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 4, 5, 6))
    one = jax.vmap(jax.grad(lambda picture: jnp.sum(maximum(picture[None], (1, 2)) ** 2)))(x)
    np.testing.assert_allclose(one, jax.grad(lambda x: jnp.sum(maximum(x, (1, 2)) ** 2))(x))
