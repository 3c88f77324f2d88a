"""The extrema: values and gradients of `jnp.max` and `jnp.min`, ties included, and none of their NaNs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.few_calls import is_known
from chanattn.layers import maximum, minimum

AXES = [-1, (1, 2)]
PAIRS = [(maximum, jnp.max), (minimum, jnp.min)]
# As for users; tests/conftest.py says otherwise.
_EMITTERS = "xla_cpu_use_fusion_emitters"
FUSING = {_EMITTERS: True} if is_known(_EMITTERS, True) else {}
X = jax.random.normal(jax.random.key(0), (3, 4, 5, 6))


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(("ours", "usual"), PAIRS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_derivatives_are_the_usual_ones(
    ours: Any, usual: Any, axis: int | tuple[int, int], dtype: Any
) -> None:
    x = jnp.round(X).astype(dtype)  # many ties
    dx = jax.random.normal(jax.random.key(1), x.shape).astype(dtype)
    g = jax.random.normal(jax.random.key(2), jnp.max(x, axis=axis).shape).astype(dtype)
    close = {"rtol": 1e-5 if dtype == jnp.float32 else 2e-2, "atol": 1e-6}

    @jax.jit
    def computed(x: jax.Array, dx: jax.Array, g: jax.Array) -> Any:
        value, pull = jax.vjp(lambda x: ours(x, axis), x)
        expected, expected_pull = jax.vjp(lambda x: usual(x, axis=axis), x)
        again, forward = jax.jvp(lambda x: ours(x, axis), (x,), (dx,))
        return (value, again, expected), (pull(g)[0], expected_pull(g)[0]), forward

    (value, again, expected), pulled, forward = computed(x, dx, g)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(again, expected)
    pulled, expected_pulled = (np.asarray(d, np.float32) for d in pulled)
    np.testing.assert_allclose(pulled, expected_pulled, **close)
    transposed = np.vdot(pulled, np.asarray(dx, np.float32))
    np.testing.assert_allclose(
        np.vdot(np.asarray(forward, np.float32), np.asarray(g, np.float32)), transposed, rtol=2e-2
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_many_ties_are_all_counted(dtype: Any) -> None:
    """1,155 of them; a sum in bfloat16 would be 1,152."""
    x = jnp.ones((1, 35, 33, 2), dtype)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(maximum(x, (1, 2)))))(x)
    close = 1e-6 if dtype == jnp.float32 else 5e-3
    np.testing.assert_allclose(np.asarray(gradient, np.float32), 1 / 1155, rtol=close)


@pytest.mark.parametrize("axis", AXES)
def test_the_second_derivative_is_that_of_a_choice(axis: int | tuple[int, int]) -> None:
    """Of the sum of m^3: 6 m where x is the maximum, in both directions, and 0 elsewhere."""

    def gradient(x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(maximum(x, axis) ** 3))(x)

    curvature = jax.jit(lambda x, v: jax.jvp(gradient, (x,), (v,))[1])(X, jnp.ones_like(X))
    largest = jnp.max(X, axis=axis, keepdims=True)
    np.testing.assert_allclose(curvature, jnp.where(largest == X, 6 * largest, 0), rtol=1e-5)


def test_a_picture_at_a_time_gives_the_same() -> None:
    one = jax.vmap(jax.grad(lambda picture: jnp.sum(maximum(picture[None], (1, 2)) ** 2)))
    together = jax.grad(lambda x: jnp.sum(maximum(x, (1, 2)) ** 2))
    np.testing.assert_allclose(jax.jit(one)(X), jax.jit(together)(X))


@pytest.mark.parametrize(("ours", "usual"), PAIRS)
def test_what_a_compiler_evaluates_twice_has_the_gradient_of_what_it_evaluates_once(
    ours: Any, usual: Any
) -> None:
    """The argument is a norm, as before most gates: with `jnp.max`, XLA:CPU makes 0 / 0 of its gradient."""
    x = jax.random.normal(jax.random.key(3), (3, 6, 5, 48))
    slope = jnp.linspace(0.3, 1.7, 48)

    def scalar(x: jax.Array, slope: jax.Array, extremum: Any) -> jax.Array:
        distance = x - jnp.mean(x, (0, 1, 2))
        factor = jax.lax.rsqrt(jnp.mean(jnp.square(distance), (0, 1, 2)) + 1e-5) * slope
        return jnp.sum(jnp.square(extremum(distance * factor + 0.13)))

    def compiled(extremum: Any) -> jax.Array:
        gradient = jax.jit(jax.grad(lambda *a: scalar(*a, extremum)), compiler_options=FUSING)
        return gradient(x, slope)

    once = jax.grad(scalar)(x, slope, lambda y: usual(y, axis=(1, 2)))
    np.testing.assert_allclose(compiled(lambda y: ours(y, (1, 2))), once, rtol=1e-3, atol=1e-3)
