"""Another scale and a part of it: the augmentation of dense tasks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

CANDIDATES = 8
"""Placements that are drawn where some are not wanted; the last one is taken if none is."""
_STEP = 8  # pixels of the result between those that are looked at


def draw(
    key: jax.Array,
    stored: tuple[int, int],
    size: tuple[int, int],
    scales: tuple[float, float],
    wanted: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A scale and a place of one example, all equally likely.

    Where the scaled picture is larger than the result, this is a part of it; where it is smaller, it lies
    somewhere in the result.

    Args:
        key: PRNG key.
        stored: (height, width) of the picture.
        size: Of the result.
        scales: The least and the largest factor.
        wanted: `(top, left, scale) -> bool`; the first of `CANDIDATES` for which it is true is taken.

    Returns:
        `top`, `left` and the scale of a `Placement`.
    """

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        k_scale, k_place = jax.random.split(key)
        scale = jax.random.uniform(k_scale, minval=scales[0], maxval=scales[1])
        free = jnp.asarray(stored) - jnp.asarray(size) / scale  # negative: how much is padding
        top, left = jax.random.uniform(k_place, (2,)) * free
        return top, left, scale

    if wanted is None:
        return one(key)
    candidates = jax.vmap(one)(jax.random.split(key, CANDIDATES))
    good = jax.vmap(wanted)(*candidates).at[-1].set(True)
    chosen = jnp.argmax(good)
    top, left, scale = (values[chosen] for values in candidates)
    return top, left, scale


def place(
    image: jax.Array,
    size: tuple[int, int],
    top: jax.Array,
    left: jax.Array,
    scale: jax.Array,
    fill: jax.Array,
) -> jax.Array:
    """An image (H, W, C) under a `Placement` of these numbers, without mirroring: (*size, C).

    Bilinear, over all pixels that fall into one where it shrinks; `fill` (C,) outside of the image.
    """
    translation = -scale * jnp.stack([top, left])
    factors = jnp.stack([scale, scale])
    moved = jax.image.scale_and_translate(
        image - fill, (*size, image.shape[-1]), (0, 1), factors, translation, "bilinear"
    )
    return moved + fill


def largest_share(label_map: jax.Array, classes: int) -> jax.Array:
    """The share of the most frequent class among the pixels of (H, W) that have one; 1 if none has."""
    labels = label_map.ravel()
    counts = (labels[:, None] == jnp.arange(classes)).sum(axis=0)
    return jnp.where(counts.sum() > 0, counts.max() / jnp.maximum(counts.sum(), 1), 1.0)


def thinned(size: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """A size at which a placement can be looked at for less, and its scale over that of the result."""
    height, width = (max(side // _STEP, 1) for side in size)
    return (height, width), 1 / _STEP
