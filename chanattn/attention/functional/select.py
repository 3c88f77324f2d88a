"""Hard selection: gates that choose channels, and the estimators that carry gradients past the choice.

Where the choice has no gradient, that of a soft gate is used instead, straight through (Bengio, Léonard,
Courville, 2013, arXiv:1308.3432). Kept channels are scaled up where their number is fixed, so that the mean
weight is 1. Gates with a `key` draw noise from it in training; without one they are deterministic, as in
evaluation.

Where the logits do not decide, the choice must not be the same in all blocks, which share their channels with
the residual stream: it follows an order of the channels that is drawn once for each `place`.
"""

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chanattn.errors import UsageError

# Hard concrete: the interval that the relaxed variable is stretched to (Louizos et al., Section 2.1).
_LOW, _HIGH = -0.1, 1.1


def straight_through(hard: jax.Array, soft: jax.Array) -> jax.Array:
    """The value of `hard` with the gradient of `soft`."""
    # In this order the difference is exactly zero, so the value is exactly `hard`.
    return hard + (soft - lax.stop_gradient(soft))


def top_k(
    z: jax.Array,
    fraction: float = 0.5,
    temperature: float | jax.Array = 1.0,
    place: str = "",
) -> jax.Array:
    """Keeps the k = max(1, round(fraction C)) largest logits: C / k on them and 0 elsewhere, mean 1.

    Exactly k channels are kept: ties go to the first in the order of the `place`. They are common: a
    bottleneck whose units are all off gives every channel the same logit. The gradient is that of
    C / k sigmoid(z / temperature), straight through; with k = C the gate is 1 everywhere.

    Args:
        z: Logits (..., C).
        fraction: Share of the channels that is kept.
        temperature: Of the sigmoid.
        place: Where in the network the gate is; "": the order is that of the channels.

    Raises:
        UsageError: The fraction is not in (0, 1] or the temperature not positive.
    """
    _check_temperature("top_k", temperature)
    channels = z.shape[-1]
    k = kept_channels(channels, fraction)
    hard = _keep_largest(z, k, place)
    return channels / k * straight_through(hard, jax.nn.sigmoid(z / temperature))


def argmax(z: jax.Array, temperature: float | jax.Array = 1.0, place: str = "") -> jax.Array:
    """Keeps the one largest logit: C on it and 0 elsewhere, mean 1: hard attention in the literal sense.

    The gradient is that of C softmax(z / temperature), straight through. Ties as in `top_k`.

    Raises:
        UsageError: The temperature is not positive.
    """
    _check_temperature("argmax", temperature)
    hard = _keep_largest(z, 1, place)
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
    place: str = "",
) -> jax.Array:
    """One channel, drawn with probability softmax(z): C on it and 0 elsewhere, mean 1.

    Training: the argmax of z + Gumbel noise, with the gradient of C softmax((z + noise) / temperature), or
    that softmax itself if `relaxed`. Evaluation: the argmax of z.
    Jang, Gu, Poole, ICLR 2017, arXiv:1611.01144; Maddison, Mnih, Teh, ICLR 2017, arXiv:1611.00712.
    """
    if key is None:
        return argmax(z, temperature, place)
    noisy = z + jax.random.gumbel(key, z.shape, z.dtype)
    if relaxed:
        return z.shape[-1] * jax.nn.softmax(noisy / temperature, axis=-1)
    return argmax(noisy, temperature, place)


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


def random_k(
    z: jax.Array, key: jax.Array | None = None, fraction: float = 0.5, place: str = ""
) -> jax.Array:
    """Keeps k = max(1, round(fraction C)) channels whatever the logits say, scaled by C / k: the control.

    Training: another subset for every picture, step and place. Evaluation: one fixed subset for each place,
    the same for all pictures, so that as many channels are silent as in training. The gradient to the
    logits is zero.

    Args:
        z: Logits (..., C); only their shape counts.
        key: Of the random numbers of training; a module's random stream has one for each place.
        fraction: Share of the channels that is kept.
        place: Where in the network the gate is: decides the subset of the evaluation, together with C.

    Raises:
        UsageError: The fraction is not in (0, 1].
    """
    channels = z.shape[-1]
    k = kept_channels(channels, fraction)
    if key is None:
        numbers = jnp.broadcast_to(fixed_numbers(channels, place), z.shape)
    else:
        numbers = jax.random.uniform(key, z.shape)
    return channels / k * _keep_largest(numbers, k).astype(z.dtype)


def fixed_numbers(channels: int, place: str, seed: int = 0) -> np.ndarray:
    """Numbers (C,) in (0, 1), float32, a function of the arguments alone.

    They come from NumPy, so that neither the random generator that JAX is set to nor the device changes them.
    """
    generator = np.random.default_rng([seed, zlib.crc32(place.encode())])
    return (1 - generator.random(channels, dtype=np.float32)).clip(max=1 - 2.0**-24)


def kept_channels(channels: int, fraction: float) -> int:
    """The number of kept channels, max(1, round(fraction C)).

    Raises:
        UsageError: The fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction must be in (0, 1], not {fraction}")
    return max(1, round(fraction * channels))


def _keep_largest(z: jax.Array, k: int, place: str = "") -> jax.Array:
    """1 at the k largest of (..., C), 0 elsewhere; ties go to the first in the order of the place."""
    channels = z.shape[-1]
    if place:
        order = np.argsort(fixed_numbers(channels, place))
        kept = jnp.asarray(order)[lax.top_k(z[..., order], k)[1]]
    else:
        kept = lax.top_k(z, k)[1]
    return jnp.sum(jax.nn.one_hot(kept, channels, dtype=z.dtype), axis=-2)


def _check_temperature(name: str, temperature: float | jax.Array) -> None:
    # A temperature that falls during training is traced, and was checked where it was set.
    if not isinstance(temperature, jax.Array) and temperature <= 0:
        raise UsageError(f"{name}: temperature must be positive, not {temperature}")
