"""Augmentations that mix two examples: the second is the one at the mirrored place in the batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Mixed(NamedTuple):
    """Images (B, H, W, C), and the weight (B,) of each image's own label.

    The rest of the weight belongs to the label of `partner(labels)`.
    """

    image: jax.Array
    weight: jax.Array


def partner(batch: jax.Array) -> jax.Array:
    """The example each one is mixed with: the batch (B, ...) in reverse order."""
    return batch[::-1]


def mixup(key: jax.Array, images: jax.Array, alpha: float) -> Mixed:
    """Blends two images with a weight from Beta(alpha, alpha), one for the whole batch.

    H. Zhang et al., "mixup: beyond empirical risk minimization", 2018.
    """
    return blend(images, jax.random.beta(key, alpha, alpha))


def cutmix(key: jax.Array, images: jax.Array, alpha: float) -> Mixed:
    """Pastes a box of one image into another, at the same place for the whole batch.

    S. Yun et al., "CutMix: regularization strategy to train strong classifiers", 2019. The box has the
    fraction 1 - lambda of the area, lambda from Beta(alpha, alpha), and a uniform centre; what sticks out is
    cut off, and the weight is that of the area that was really replaced.
    """
    key_area, key_place = jax.random.split(key)
    return paste(key_place, images, jax.random.beta(key_area, alpha, alpha))


def mixup_or_cutmix(
    key: jax.Array, images: jax.Array, mixup_alpha: float, cutmix_alpha: float
) -> Mixed:
    """One of the two for the whole batch, with equal chance; an alpha of 0 rules one out."""
    if not cutmix_alpha:
        return mixup(key, images, mixup_alpha)
    if not mixup_alpha:
        return cutmix(key, images, cutmix_alpha)
    key_choice, key_beta, key_place = jax.random.split(key, 3)
    take_mixup = jax.random.bernoulli(key_choice)
    alpha = jnp.where(take_mixup, mixup_alpha, cutmix_alpha)
    weight = jax.random.beta(key_beta, alpha, alpha)
    return jax.lax.cond(
        take_mixup, lambda: blend(images, weight), lambda: paste(key_place, images, weight)
    )


def blend(images: jax.Array, weight: jax.Array) -> Mixed:
    """`weight` of each image and the rest of its partner."""
    mixed = partner(images) + weight * (images - partner(images))
    return Mixed(mixed, jnp.full(len(images), weight))


def paste(key: jax.Array, images: jax.Array, weight: jax.Array) -> Mixed:
    """A box of the partner, of about `1 - weight` of the area, at a random place of each image."""
    _, h, w, _ = images.shape
    key_y, key_x = jax.random.split(key)
    side = jnp.sqrt(1 - weight)
    inside_y = _interval(jax.random.randint(key_y, (), 0, h), side * h, h)
    inside_x = _interval(jax.random.randint(key_x, (), 0, w), side * w, w)
    pasted = inside_y[:, None] & inside_x[None, :]
    mixed = jnp.where(pasted[None, :, :, None], partner(images), images)
    return Mixed(mixed, jnp.full(len(images), 1 - pasted.sum() / (h * w)))


def _interval(centre: jax.Array, extent: jax.Array, length: int) -> jax.Array:
    """(length,): which pixels lie within `extent / 2` of `centre`; whole pixels, as in the paper's code."""
    half = extent.astype(jnp.int32) // 2
    position = jnp.arange(length)
    return (position >= centre - half) & (position < centre + half)
