"""Gate: one logit a channel becomes one weight a channel.

The soft gates place weights anywhere in a range; the hard ones choose channels, with a straight-through
gradient, so that soft and hard selection can be compared on the very same logits. Every gate maps
(..., C) to (..., C); the docstring gives its range and its value at z = 0, which decides whether a block
starts as the identity (1), halved (0.5), or silent (0).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from chanattn.errors import UsageError, did_you_mean

Gate = Callable[[jax.Array], jax.Array]


def sigmoid(z: jax.Array) -> jax.Array:
    """1 / (1 + exp(-z)), in (0, 1), 0.5 at 0."""
    return jax.nn.sigmoid(z)


def hard_sigmoid(z: jax.Array) -> jax.Array:
    """min(max(z + 3, 0), 6) / 6, in [0, 1], 0.5 at 0 (MobileNetV3, eSE; not Keras' 0.2 z + 0.5)."""
    return jax.nn.hard_sigmoid(z)


def tanh(z: jax.Array) -> jax.Array:
    """In (-1, 1), 0 at 0 (SE paper, Table 12)."""
    return jnp.tanh(z)


def relu(z: jax.Array) -> jax.Array:
    """max(z, 0), in [0, inf), 0 at 0 (SE paper, Table 12)."""
    return jax.nn.relu(z)


def one_plus_tanh(z: jax.Array) -> jax.Array:
    """1 + tanh(z), in (0, 2), 1 at 0 (GCT)."""
    return 1 + jnp.tanh(z)


def linear(z: jax.Array) -> jax.Array:
    """The logit itself, 0 at 0."""
    return z


def softmax(z: jax.Array) -> jax.Array:
    """C softmax(z) over the channels, in (0, C) with mean 1: channels compete (SCA-CNN).

    Without the factor C the features would shrink by C at every gate.
    """
    return z.shape[-1] * jax.nn.softmax(z, axis=-1)


def straight_through(hard: jax.Array, soft: jax.Array) -> jax.Array:
    """The value of `hard` with the gradient of `soft` (Bengio et al., 2013, arXiv:1308.3432)."""
    # In this order the difference is exactly zero, so the value is exactly `hard`.
    return hard + (soft - lax.stop_gradient(soft))


def top_k(z: jax.Array, fraction: float = 0.5, temperature: float = 1.0) -> jax.Array:
    """Keeps the k = max(1, round(fraction C)) largest logits: C / k on them and 0 elsewhere, mean 1.

    Ties go to the lower channel index, so exactly k channels are kept. The gradient is that of
    C / k sigmoid(z / temperature), straight through; with k = C the gate is 1 everywhere.

    Raises:
        UsageError: The fraction is not in (0, 1] or the temperature not positive.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"top_k: fraction must be in (0, 1], not {fraction}")
    _check_temperature("top_k", temperature)
    channels = z.shape[-1]
    k = max(1, round(fraction * channels))
    _, kept = lax.top_k(z, k)
    hard = jnp.sum(jax.nn.one_hot(kept, channels, dtype=z.dtype), axis=-2)
    return channels / k * straight_through(hard, jax.nn.sigmoid(z / temperature))


def argmax(z: jax.Array, temperature: float = 1.0) -> jax.Array:
    """Keeps the one largest logit: C on it and 0 elsewhere, mean 1: hard attention in the literal sense.

    The gradient is that of C softmax(z / temperature), straight through.

    Raises:
        UsageError: The temperature is not positive.
    """
    _check_temperature("argmax", temperature)
    channels = z.shape[-1]
    hard = jax.nn.one_hot(jnp.argmax(z, axis=-1), channels, dtype=z.dtype)
    return channels * straight_through(hard, jax.nn.softmax(z / temperature, axis=-1))


def _check_temperature(name: str, temperature: float) -> None:
    if temperature <= 0:
        raise UsageError(f"{name}: temperature must be positive, not {temperature}")


_GATES: dict[str, Callable[..., jax.Array]] = {
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "tanh": tanh,
    "relu": relu,
    "one_plus_tanh": one_plus_tanh,
    "linear": linear,
    "softmax": softmax,
    "top_k": top_k,
    "argmax": argmax,
}


def get(name: str, **parameters: float) -> Gate:
    """The gate called `name`, with its parameters bound.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in _GATES:
        valid = list(_GATES)
        raise UsageError(
            f"unknown gate {name!r}; valid: {', '.join(valid)}.{did_you_mean(name, valid)}"
        )
    return partial(_GATES[name], **parameters) if parameters else _GATES[name]
