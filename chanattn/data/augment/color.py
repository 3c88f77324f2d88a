"""Random brightness, contrast and saturation."""

import jax
import jax.numpy as jnp

#: Luma weights of ITU-R BT.601, as PIL and torchvision use them.
LUMA = (0.299, 0.587, 0.114)


def color_jitter(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Changes brightness, then contrast, then saturation, each by its own factor for each image.

    A. Howard, "Some improvements on deep convolutional neural network based image classification", 2013.
    Deviation from torchvision: the order of the three is fixed, and there is no hue.

    Args:
        key: PRNG key.
        images: (B, H, W, 3) in [0, 1].
        strength: Factors are uniform in [max(0, 1 - strength), 1 + strength].
    """
    low = max(0.0, 1.0 - strength)
    factors = jax.random.uniform(key, (3, len(images), 1, 1, 1), minval=low, maxval=1 + strength)
    images = brightness(images, factors[0])
    images = contrast(images, factors[1])
    return saturation(images, factors[2])


def blend(low: jax.Array, high: jax.Array, factor: jax.Array) -> jax.Array:
    """`low + factor (high - low)`, cut to [0, 1]; factors beyond 1 extrapolate, as in PIL."""
    return jnp.clip(low + factor * (high - low), 0, 1)


def brightness(images: jax.Array, factor: jax.Array) -> jax.Array:
    """0: black, 1: unchanged. `factor` broadcasts against (B, H, W, 3)."""
    return blend(jnp.zeros_like(images), images, factor)


def contrast(images: jax.Array, factor: jax.Array) -> jax.Array:
    """0: the mean grey of each image, 1: unchanged."""
    mean = gray(images).mean(axis=(1, 2), keepdims=True)
    return blend(jnp.broadcast_to(mean, images.shape), images, factor)


def saturation(images: jax.Array, factor: jax.Array) -> jax.Array:
    """0: grey, 1: unchanged."""
    return blend(jnp.broadcast_to(gray(images), images.shape), images, factor)


def gray(images: jax.Array) -> jax.Array:
    """Luma (B, H, W, 1) of (B, H, W, 3)."""
    red, green, blue = LUMA
    return (red * images[..., 0] + green * images[..., 1] + blue * images[..., 2])[..., None]
