"""Gates: values, limits, and the gradients of the hard ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.attention.functional import gate, select
from chanattn.errors import UsageError

Z = jnp.array([[-4.0, -0.5, 0.0, 0.5, 2.0, 5.0]])

FORMULAS = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
    "one_plus_tanh": lambda z: 1 + np.tanh(z),
    "one_plus_elu": lambda z: np.where(z > 0, 1 + z, np.exp(z)),
    "linear": lambda z: z,
    "softmax": lambda z: z.shape[-1] * np.exp(z) / np.exp(z).sum(-1, keepdims=True),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_soft_gate_follows_its_formula(name: str) -> None:
    expected = FORMULAS[name](np.asarray(Z, np.float64))
    np.testing.assert_allclose(gate.get(name)(Z), expected, rtol=1e-6, atol=1e-7)


@given(st.integers(2, 12), st.floats(0.05, 1.0), st.integers(0, 2**16))
def test_top_k_keeps_the_k_largest_and_a_mean_of_one(
    channels: int, fraction: float, seed: int
) -> None:
    z = np.random.default_rng(seed).normal(size=(3, channels)).astype(np.float32)
    k = max(1, round(fraction * channels))
    weights = np.asarray(select.top_k(jnp.asarray(z), fraction))
    for row, logits in zip(weights, z, strict=True):
        assert set(np.flatnonzero(row)) == set(np.argsort(logits)[-k:])
    np.testing.assert_allclose(weights.mean(-1), 1, rtol=1e-6)


def test_top_k_breaks_ties_by_index_and_keeps_exactly_k() -> None:
    weights = select.top_k(jnp.zeros((1, 6)), fraction=0.5)
    np.testing.assert_array_equal(weights, [[2, 2, 2, 0, 0, 0]])


def test_top_k_of_everything_is_exactly_one_everywhere() -> None:
    z = jax.random.normal(jax.random.key(0), (5, 7)) * 10
    np.testing.assert_array_equal(select.top_k(z, fraction=1.0), jnp.ones((5, 7)))


def test_argmax_keeps_one_channel() -> None:
    np.testing.assert_array_equal(select.argmax(Z), [[0, 0, 0, 0, 0, 6]])


def test_cold_softmax_approaches_argmax() -> None:
    z = jax.random.normal(jax.random.key(0), (4, 9))
    np.testing.assert_allclose(gate.softmax(z / 1e-3), select.argmax(z), atol=1e-6)


def test_hard_gates_have_the_gradient_of_their_soft_surrogate() -> None:
    g = jnp.arange(1.0, 7.0)

    def gradient(select: gate.Gate) -> jax.Array:
        return jax.grad(lambda z: jnp.sum(select(z) * g))(Z)

    for temperature in (0.5, 2.0):
        hard = gradient(lambda z, t=temperature: select.top_k(z, 1 / 3, t))
        soft = gradient(lambda z, t=temperature: 3 * jax.nn.sigmoid(z / t))
        np.testing.assert_allclose(hard, soft, rtol=1e-6)
        hard = gradient(lambda z, t=temperature: select.argmax(z, t))
        soft = gradient(lambda z, t=temperature: 6 * jax.nn.softmax(z / t))
        np.testing.assert_allclose(hard, soft, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gate.get("sigmoid_"), "unknown gate 'sigmoid_'.*Did you mean 'sigmoid'"),
        (lambda: select.top_k(Z, fraction=0.0), r"fraction must be in \(0, 1\], not 0.0"),
        (lambda: select.top_k(Z, fraction=1.5), r"fraction must be in \(0, 1\]"),
        (lambda: select.top_k(Z, temperature=0.0), "temperature must be positive"),
        (lambda: select.argmax(Z, temperature=-1.0), "temperature must be positive"),
    ],
)
def test_wrong_parameters_are_named(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
