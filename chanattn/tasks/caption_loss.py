"""Losses of captions: the words of a caption, each predicted from those before it.

`tokens` (N, T + 1) are BEGIN, the words, END, and PAD to the end; logits (N, T, V) at t are of token t + 1.
END counts as a word, PAD counts nowhere.
"""

import jax
import jax.numpy as jnp

from chanattn.batch import Pair
from chanattn.data.vocabulary import PAD


def known(tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Which tokens are to be predicted: (N, T) bool.

    Args:
        tokens: (N, T + 1).
        mask: (N,), 1 for real examples; None: all are.
    """
    real = tokens[:, 1:] != PAD
    return real if mask is None else real & (mask[:, None] > 0)


def cross_entropy(logits: jax.Array, tokens: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """(1 - s) (-log p_y) + s mean_v (-log p_v) of every token y, also where it is PAD: (N, T) float32.

    The mean over an epoch's tokens is the logarithm of the perplexity, if nothing is smoothed.

    Args:
        logits: (N, T, V).
        tokens: (N, T + 1).
        smoothing: s, the share of the target that is spread evenly over all V.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    expected = jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)[..., 0]
    if not smoothing:
        return -expected
    return -((1 - smoothing) * expected + smoothing * log_p.mean(axis=-1))


def token_loss(
    logits: jax.Array, tokens: jax.Array, mask: jax.Array | None = None, smoothing: float = 0.0
) -> Pair:
    """The cross-entropy, added up over the tokens that are to be predicted, and their number."""
    real = known(tokens, mask)
    loss = jnp.where(real, cross_entropy(logits, tokens, smoothing), 0.0)
    return loss.sum(), real.sum(dtype=jnp.float32)


def token_accuracy(logits: jax.Array, tokens: jax.Array, mask: jax.Array | None = None) -> Pair:
    """How many tokens that are to be predicted have the largest logit, and their number."""
    real = known(tokens, mask)
    right = real & (jnp.argmax(logits, axis=-1) == tokens[:, 1:])
    return right.sum(dtype=jnp.float32), real.sum(dtype=jnp.float32)


def doubly_stochastic(alpha: jax.Array, tokens: jax.Array, mask: jax.Array | None = None) -> Pair:
    """Sum over pictures and positions i of (1 - sum_t alpha_ti)^2, and the number of pictures.

    Every position is to be looked at equally often over a caption. This is the penalty of Xu et al., ICML
    2015, arXiv:1502.03044, equation 14, whose sum runs over the positions; it grows with their number. The
    authors' code has the mean over positions and the sum over pictures, and counts the padding; PyTorch
    implementations the mean over both.

    Args:
        alpha: (N, T, P), the weights of the positions at every word, which sum to 1
            (`chanattn.models.heads.lstm.weights_of_words`).
        tokens: (N, T + 1).
        mask: (N,), 1 for real examples; None: all are.
    """
    real = known(tokens, mask)
    looked = jnp.where(real[..., None], alpha, 0.0).sum(axis=1)
    pictures = real.any(axis=1)
    each = jnp.square(1 - looked).sum(axis=-1)
    return jnp.where(pictures, each, 0.0).sum(), pictures.sum(dtype=jnp.float32)
