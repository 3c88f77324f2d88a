"""A softmax of large numbers that survives the compiler."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def softmax(x: jax.Array, axis: int) -> jax.Array:
    """exp(x - m) / sum exp(x - m) along `axis`, m the maximum of x there; for logits of any size.

    A compiler may evaluate x once for the maximum and once more for the difference, with different rounding.
    Logits of 1e8, as products of two maps with values of 1e4 are, differ by more than 88 then, and the
    exponential of `jax.nn.softmax` overflows: inf / inf. Here no difference is above 0 and nothing is divided
    by 0; where the maximum comes out that much larger than all the others, they are weighed with 0.
    Derivatives of all orders exist, forward and backward.
    """
    difference = jnp.minimum(x - jnp.max(x, axis=axis, keepdims=True), 0)
    powers = jnp.exp(difference)
    total = jnp.sum(powers, axis=axis, keepdims=True)
    return powers / jnp.maximum(total, jnp.finfo(x.dtype).tiny)


@softmax.defjvp
def _derivative(
    axis: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    y = softmax(x, axis)
    return y, y * (dx - jnp.sum(y * dx, axis=axis, keepdims=True))
