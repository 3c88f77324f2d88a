"""Hard selection: gates that choose channels, and the estimators that carry gradients past the choice.

Where the choice has no gradient, that of a soft gate is used instead, straight through (Bengio, Léonard,
Courville, 2013, arXiv:1308.3432). Kept channels are scaled up where their number is fixed, so that the mean
weight is 1. Gates with a `key` draw noise from it in training; without one they are deterministic, as in
evaluation.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from chanattn.errors import UsageError

# Hard concrete: the interval that the relaxed variable is stretched to (Louizos et al., Section 2.1).
_LOW, _HIGH = -0.1, 1.1


def straight_through(hard: jax.Array, soft: jax.Array) -> jax.Array:
    """The value of `hard` with the gradient of `soft`."""
    # In this order the difference is exactly zero, so the value is exactly `hard`.
    return hard + (soft - lax.stop_gradient(soft))


def top_k(z: jax.Array, fraction: float = 0.5, temperature: float | jax.Array = 1.0) -> jax.Array:
    """Keeps the k = max(1, round(fraction C)) largest logits: C / k on them and 0 elsewhere, mean 1.

    Ties go to the lower channel index, so exactly k channels are kept. The gradient is that of
    C / k sigmoid(z / temperature), straight through; with k = C the gate is 1 everywhere.

    Raises:
        UsageError: The fraction is not in (0, 1] or the temperature not positive.
    """
    _check_temperature("top_k", temperature)
    channels = z.shape[-1]
    k = kept_channels(channels, fraction)
    hard = _hot(lax.top_k(z, k)[1], z)
    return channels / k * straight_through(hard, jax.nn.sigmoid(z / temperature))


def argmax(z: jax.Array, temperature: float | jax.Array = 1.0) -> jax.Array:
    """Keeps the one largest logit: C on it and 0 elsewhere, mean 1: hard attention in the literal sense.

    The gradient is that of C softmax(z / temperature), straight through.

    Raises:
        UsageError: The temperature is not positive.
    """
    _check_temperature("argmax", temperature)
    hard = jax.nn.one_hot(jnp.argmax(z, axis=-1), z.shape[-1], dtype=z.dtype)
    return z.shape[-1] * straight_through(hard, jax.nn.softmax(z / temperature, axis=-1))


def gumbel_sigmoid(
    z: jax.Array,
    key: jax.Array | None = None,
    temperature: float | jax.Array = 1.0,
    relaxed: bool = False,
) -> jax.Array:
    """Every channel open (1) or shut (0) on its own: a Bernoulli variable with P(open) = sigmoid(z).

    Training: s = sigmoid((z + L) / temperature) with logistic noise L (the binary concrete variable);
    1[s > 1/2] with the gradient of s, or s itself if `relaxed`. Evaluation: 1[z > 0].
    Maddison, Mnih, Teh, ICLR 2017, arXiv:1611.00712, Appendix B; Jang et al., ICLR 2017, arXiv:1611.01144.
    """
    if key is None:
        return straight_through((z > 0).astype(z.dtype), jax.nn.sigmoid(z / temperature))
    soft = jax.nn.sigmoid((z + jax.random.logistic(key, z.shape, z.dtype)) / temperature)
    return soft if relaxed else straight_through((soft > 0.5).astype(z.dtype), soft)


def sigmoid_open_probability(z: jax.Array, temperature: float | jax.Array = 1.0) -> jax.Array:
    """P(open) = sigmoid(z) of `gumbel_sigmoid`, whatever the temperature."""
    del temperature
    return jax.nn.sigmoid(z)


def gumbel_softmax(
    z: jax.Array,
    key: jax.Array | None = None,
    temperature: float | jax.Array = 1.0,
    relaxed: bool = False,
) -> jax.Array:
    """One channel, drawn with probability softmax(z): C on it and 0 elsewhere, mean 1.

    Training: the argmax of z + Gumbel noise, with the gradient of C softmax((z + noise) / temperature), or
    that softmax itself if `relaxed`. Evaluation: the argmax of z.
    Jang, Gu, Poole, ICLR 2017, arXiv:1611.01144; Maddison, Mnih, Teh, ICLR 2017, arXiv:1611.00712.
    """
    if key is None:
        return argmax(z, temperature)
    noisy = z + jax.random.gumbel(key, z.shape, z.dtype)
    if relaxed:
        return z.shape[-1] * jax.nn.softmax(noisy / temperature, axis=-1)
    return argmax(noisy, temperature)


def hard_concrete(
    z: jax.Array, key: jax.Array | None = None, temperature: float | jax.Array = 2 / 3
) -> jax.Array:
    """A weight in [0, 1] that is exactly 0 or 1 with positive probability.

    Training: s = sigmoid((z + L) / temperature) with logistic noise L, stretched to (-0.1, 1.1) and cut off
    at 0 and 1. Evaluation: sigmoid(z), stretched and cut. The gradient is its own, no estimator.
    Louizos, Welling, Kingma, ICLR 2018, arXiv:1712.01312, equations 10, 11 and 13.
    """
    if key is None:
        soft = jax.nn.sigmoid(z)
    else:
        soft = jax.nn.sigmoid((z + jax.random.logistic(key, z.shape, z.dtype)) / temperature)
    return jnp.clip(soft * (_HIGH - _LOW) + _LOW, 0, 1)


def concrete_open_probability(z: jax.Array, temperature: float | jax.Array = 2 / 3) -> jax.Array:
    """P(weight > 0) = sigmoid(z - temperature log(0.1 / 1.1)) of `hard_concrete` (equation 12)."""
    return jax.nn.sigmoid(z - temperature * math.log(-_LOW / _HIGH))


def random_k(z: jax.Array, key: jax.Array | None = None, fraction: float = 0.5) -> jax.Array:
    """Keeps k = max(1, round(fraction C)) channels whatever the logits say, scaled by C / k: the control.

    Training: another subset for every picture and step. Evaluation: one fixed subset, the same for all
    pictures, so that as many channels are silent as in training. The gradient to the logits is zero.

    Raises:
        UsageError: The fraction is not in (0, 1].
    """
    channels = z.shape[-1]
    k = kept_channels(channels, fraction)
    if key is None:
        order = jax.random.uniform(jax.random.key(channels), (channels,))
        order = jnp.broadcast_to(order, z.shape)
    else:
        order = jax.random.uniform(key, z.shape)
    return channels / k * _hot(lax.top_k(order, k)[1], z)


def kept_channels(channels: int, fraction: float) -> int:
    """The number of kept channels, max(1, round(fraction C)).

    Raises:
        UsageError: The fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction must be in (0, 1], not {fraction}")
    return max(1, round(fraction * channels))


def _hot(kept: jax.Array, like: jax.Array) -> jax.Array:
    """(..., C) of 0 and 1 from the indices (..., k) of the kept channels."""
    return jnp.sum(jax.nn.one_hot(kept, like.shape[-1], dtype=like.dtype), axis=-2)


def _check_temperature(name: str, temperature: float | jax.Array) -> None:
    # A temperature that falls during training is traced, and was checked where it was set.
    if not isinstance(temperature, jax.Array) and temperature <= 0:
        raise UsageError(f"{name}: temperature must be positive, not {temperature}")
