"""Extrema along axes, with gradients that survive the compiler."""

from functools import partial

import jax
import jax.numpy as jnp

# A compiler may evaluate an array twice with different rounding. What is this close to the maximum equals it.
_ROUNDINGS = 4 * float(jnp.finfo(jnp.float32).eps)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def maximum(x: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """The largest value along `axis`; its gradient is shared evenly among ties, as that of `jnp.max`.

    `jnp.max` divides by the number of values that equal the maximum. Where a compiler evaluates x once for
    the maximum and once for the comparison, with different rounding, that number is 0, and the gradient
    0 / 0. Here values within a few roundings of the maximum are ties, and the number is at least 1.
    Derivatives of all orders exist, forward and backward; those from the second on are 0.
    """
    return jnp.max(x, axis=axis)


@maximum.defjvp
def _derivative(
    axis: int | tuple[int, ...], primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    largest = maximum(x, axis)
    bound = largest * jnp.where(largest > 0, 1 - _ROUNDINGS, 1 + _ROUNDINGS).astype(x.dtype)
    ties = x >= jnp.expand_dims(bound, axis)
    # XLA:CPU writes the map of ones and zeros before it adds. In bfloat16 it would be half as large, but only
    # processors that convert to it in one instruction write it faster (benchmarks/NOTES.md).
    ones = ties.astype(jnp.float32)
    # The axes stay until the end: otherwise XLA:CPU spreads the quotient over the whole map.
    count = jnp.maximum(jnp.sum(ones, axis=axis, keepdims=True), 1)
    total = jnp.sum(jnp.where(ties, dx, 0), axis=axis, keepdims=True)
    return largest, jnp.squeeze(total / count.astype(dx.dtype), axis)


def minimum(x: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """The smallest value along `axis`, with the gradient of `maximum`."""
    return -maximum(-x, axis)
