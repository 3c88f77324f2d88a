"""The loss of captions against PyTorch's cross-entropy, and the doubly stochastic penalty."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn.tasks.caption_loss import (
    cross_entropy,
    doubly_stochastic,
    known,
    token_accuracy,
    token_loss,
)


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Mapping[str, np.ndarray]:
    return parity.load(golden / "tasks" / "cap_teacher_forcing.npz")


@pytest.mark.parametrize(("smoothing", "end"), [(0.0, ""), (0.1, "_smooth")])
def test_it_is_the_mean_over_the_tokens_of_the_whole_batch(
    arrays: Mapping[str, np.ndarray], smoothing: float, end: str
) -> None:
    def loss(x: jax.Array) -> jax.Array:
        total, count = token_loss(x, jnp.asarray(arrays["tokens"]), None, smoothing)
        return total / count

    value, dx = jax.value_and_grad(loss)(jnp.asarray(arrays["x"]))
    parity.assert_close(value, arrays["y_token_mean" + end], parity.OUTPUT, "loss")
    parity.assert_close(dx, arrays["dx" + end], parity.GRADIENT, "dx")
    if not smoothing:
        parity.assert_close(jnp.exp(value), arrays["y_perplexity"], parity.OUTPUT, "perplexity")


def test_every_token_has_its_own_loss(arrays: Mapping[str, np.ndarray]) -> None:
    tokens = jnp.asarray(arrays["tokens"])
    real = known(tokens)
    np.testing.assert_array_equal(real, arrays["y_mask"])
    nll = jnp.where(real, cross_entropy(arrays["x"], tokens), 0)
    parity.assert_close(nll, arrays["y_nll"], parity.OUTPUT, "nll")
    right, count = token_accuracy(arrays["x"], tokens)
    assert (int(right), int(count)) == (arrays["y_correct"].sum(), real.sum())


def test_padding_and_unreal_examples_may_hold_anything(arrays: Mapping[str, np.ndarray]) -> None:
    tokens, mask = jnp.asarray(arrays["tokens"]), jnp.array([1, 0, 1, 0])
    real = known(tokens, mask)
    np.testing.assert_array_equal(real, arrays["y_mask"] * mask[:, None])
    spoilt = jnp.where(real[..., None], arrays["x"], jnp.inf)
    kept = tokens[:2:1], arrays["x"][::2]
    expected = token_loss(kept[1], tokens[::2])
    found = token_loss(spoilt, tokens, mask)
    assert [float(v) for v in found] == pytest.approx([float(v) for v in expected])
    np.testing.assert_array_equal(
        token_accuracy(spoilt, tokens, mask), token_accuracy(kept[1], tokens[::2])
    )
    alpha = jax.nn.softmax(jnp.asarray(arrays["x"]))
    spoilt = jnp.where(real[..., None], alpha, jnp.nan)
    expected = doubly_stochastic(alpha[::2], tokens[::2])
    found = doubly_stochastic(spoilt, tokens, mask)
    assert [float(v) for v in found] == pytest.approx([float(v) for v in expected])


def test_the_penalty_is_zero_where_every_position_is_looked_at_once() -> None:
    tokens = jnp.array([[1, 5, 6, 2], [1, 5, 2, 0]])
    alpha = jnp.tile(jnp.eye(3)[None], (2, 1, 1))
    # The second caption has two words, END among them, and leaves the third position out.
    total, pictures = doubly_stochastic(alpha, tokens)
    assert (float(total), float(pictures)) == (1.0, 2.0)
    total, _ = doubly_stochastic(jnp.full((2, 3, 4), 0.25), tokens)
    assert float(total) == pytest.approx(4 * 0.25**2 + 4 * 0.5**2)
