"""Squeeze: a feature map (N, H, W, C) becomes one number, or K numbers, a channel.

A descriptor has shape (N, C), or (N, K, C) for K statistics a channel, and is float32 whatever the type
of the map: a sum over 12,544 positions loses its last digits in bfloat16.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from chanattn import layers
from chanattn.errors import UsageError, did_you_mean

Squeeze = Callable[[jax.Array], jax.Array]

_SPACE = (1, 2)


def root(x: jax.Array) -> jax.Array:
    """Square root whose gradient at 0 is 0 (PyTorch's norm and std), so that silent channels are no NaN."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def mean(x: jax.Array) -> jax.Array:
    """Global average pooling, s_c = mean_p x_pc (SE, ECA, ...)."""
    return jnp.mean(x, axis=_SPACE, dtype=jnp.float32)


def maximum(x: jax.Array) -> jax.Array:
    """Global max pooling, s_c = max_p x_pc (CBAM). The gradient is shared evenly among ties."""
    return layers.maximum(x, _SPACE).astype(jnp.float32)


def blend(x: jax.Array) -> jax.Array:
    """Half the mean plus half the maximum (timm's `add_maxpool`)."""
    return 0.5 * mean(x) + 0.5 * maximum(x)


def l2(x: jax.Array) -> jax.Array:
    """Euclidean norm over space, sqrt(sum_p x_pc^2): a sum, so it grows with the map (CBAM's 'lp', GRN)."""
    return root(jnp.sum(jnp.square(x.astype(jnp.float32)), axis=_SPACE))


def std(x: jax.Array) -> jax.Array:
    """Standard deviation over space, sqrt(v_c + 1e-5) with the unbiased variance v (SRM).

    With a single position, where that variance is 0 / 0, v is 0.
    """
    positions = x.shape[1] * x.shape[2]
    distance = x.astype(jnp.float32) - mean(x)[:, None, None]
    return jnp.sqrt(jnp.sum(jnp.square(distance), axis=_SPACE) / max(positions - 1, 1) + 1e-5)


def log_sum_exp(x: jax.Array) -> jax.Array:
    """Log sum_p exp(x_pc), a soft maximum that grows with the map (CBAM's 'lse')."""
    return jax.nn.logsumexp(x.astype(jnp.float32), axis=_SPACE)


def none(x: jax.Array) -> jax.Array:
    """No squeeze: the map itself, so that every position gets its own gate (SE paper, Table 16)."""
    return x.astype(jnp.float32)


_SQUEEZES: dict[str, Squeeze] = {
    "mean": mean,
    "max": maximum,
    "blend": blend,
    "l2": l2,
    "std": std,
    "lse": log_sum_exp,
    "none": none,
}


def names() -> list[str]:
    """The squeezes there are."""
    return list(_SQUEEZES)


def get(name: str) -> Squeeze:
    """The squeeze called `name`; names joined by "+" give a stack, "mean+max" an (N, 2, C) descriptor.

    Raises:
        UsageError: The name is unknown, or "none" is part of a stack.
    """
    parts = name.split("+") if isinstance(name, str) else [name]
    for part in parts:
        if part not in _SQUEEZES:
            valid = list(_SQUEEZES)
            raise UsageError(
                f"unknown squeeze {part!r}; valid: {', '.join(valid)}, or several joined by '+'."
                f"{did_you_mean(part, valid)}"
            )
    if len(parts) == 1:
        return _SQUEEZES[name]
    if "none" in parts:
        raise UsageError(f"squeeze {name!r}: 'none' cannot be combined with another squeeze")

    def stack(x: jax.Array) -> jax.Array:
        return jnp.stack([_SQUEEZES[part](x) for part in parts], axis=1)

    return stack
