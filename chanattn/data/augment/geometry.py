"""Augmentations that move or erase pixels."""

import jax
import jax.numpy as jnp


def pad_and_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads with black on all sides and cuts out a window of the original size at a random place.

    C.-Y. Lee et al., "Deeply-supervised nets", 2015; the standard augmentation of CIFAR with padding 4.

    Args:
        key: PRNG key.
        images: (B, H, W, C).
        padding: Pixels on each side.

    Returns:
        (B, H, W, C); every image has its own offset, all (2 padding + 1)^2 equally likely.
    """
    return windows(images, offsets(key, len(images), padding), padding)


def flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image (B, H, W, C) left-right with probability 1/2."""
    return mirror(images, mirrored(key, len(images)))


def offsets(key: jax.Array, number: int, padding: int) -> jax.Array:
    """(B, 2) int32 from 0 to 2 padding: where the windows of `pad_and_crop` begin in the padded images."""
    return jax.random.randint(key, (number, 2), 0, 2 * padding + 1)


def windows(images: jax.Array, offsets: jax.Array, padding: int) -> jax.Array:
    """The windows of (B, H, W, C) that begin at `offsets` (B, 2) of the images padded with black."""
    _, h, w, c = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))

    def window(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (h, w, c))

    return jax.vmap(window)(padded, offsets)


def mirrored(key: jax.Array, number: int) -> jax.Array:
    """(B,) bool: which images `flip` mirrors."""
    return jax.random.bernoulli(key, 0.5, (number,))


def mirror(images: jax.Array, mirrored: jax.Array) -> jax.Array:
    """Those of the images (B, H, W, C) left-right that `mirrored` (B,) marks."""
    return jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def cutout(key: jax.Array, images: jax.Array, side: int, fill: jax.Array) -> jax.Array:
    """Erases a square around a random pixel; parts of the square outside the image are lost.

    T. DeVries and G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    Args:
        key: PRNG key.
        images: (B, H, W, C).
        side: Side of the square in pixels.
        fill: (C,) colour of the square; the data's mean becomes zero by normalisation, as in the paper.
    """
    b, h, w, _ = images.shape
    key_y, key_x = jax.random.split(key)
    inside_y = _covers(jax.random.randint(key_y, (b,), 0, h), side, h)
    inside_x = _covers(jax.random.randint(key_x, (b,), 0, w), side, w)
    erased = inside_y[:, :, None] & inside_x[:, None, :]
    return jnp.where(erased[..., None], fill, images)


def _covers(centre: jax.Array, side: int, length: int) -> jax.Array:
    """(B, length): which positions an interval of `side` pixels around `centre` (B,) covers."""
    start = centre[:, None] - side // 2
    position = jnp.arange(length)
    return (position >= start) & (position < start + side)
