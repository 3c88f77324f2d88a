"""Maximum along axes, with a gradient that survives the compiler."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def maximum(x: jax.Array, axis: int | tuple[int, ...]) -> jax.Array:
    """The largest value along `axis`; its gradient is shared evenly among ties, as that of `jnp.max`.

    `jnp.max` divides by the number of values equal to the maximum. A compiler may evaluate x twice with
    different rounding, and then no value is equal: the gradient is 0 / 0. Here those equal are marked where
    the maximum is taken.
    """
    return jnp.max(x, axis=axis)


def _forward(
    x: jax.Array, axis: int | tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    largest = jnp.max(x, axis=axis, keepdims=True)
    ties = x == largest
    count = jnp.maximum(jnp.sum(ties.astype(jnp.float32), axis=axis, keepdims=True), 1)
    return jnp.squeeze(largest, axis), (ties, count)


def _backward(
    axis: int | tuple[int, ...], saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array]:
    ties, count = saved
    share = jnp.expand_dims(g, axis) / count.astype(g.dtype)
    return (jnp.where(ties, share, 0),)


maximum.defvjp(_forward, _backward)
