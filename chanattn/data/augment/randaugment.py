"""RandAugment: a few operations a picture, drawn from fourteen, all at one strength.

E. Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space", 2019.
Ranges follow torchvision, whose signs are random for shear, translation, rotation and the four enhancements;
pixels that come from outside are mid-grey, as in the authors' code.

Every picture of a batch gets its own operation. Under `vmap` a branch per picture would compute all fourteen
for each, so operations of one form are computed as one: the five geometric ones are a single affine
sampling, in which the other pictures take the identity, and each colour operation is chosen by a mask.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from chanattn.data.augment import color

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
ENHANCING = ("brightness", "contrast", "color", "sharpness")
OPERATIONS = (
    "identity",
    *GEOMETRIC,
    *ENHANCING,
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
MAX_MAGNITUDE = 10.0
_FILL = 128 / 255
_MAX_SHEAR = 0.3
_MAX_TRANSLATION = 150 / 331  # of the side; the authors' 150 pixels at 331
_MAX_ROTATION = math.radians(30)
_MAX_ENHANCEMENT = 0.9
_MAX_BITS_LOST = 4


def rand_augment(key: jax.Array, images: jax.Array, operations: int, magnitude: float) -> jax.Array:
    """Applies `operations` random operations, one after another, to each image.

    Args:
        key: PRNG key.
        images: (B, H, W, 3) in [0, 1].
        operations: How many.
        magnitude: Strength of all of them, 0 to 10.
    """
    for round_key in jax.random.split(key, operations):
        key_choice, key_sign = jax.random.split(round_key)
        choice = jax.random.randint(key_choice, (len(images),), 0, len(OPERATIONS))
        sign = jax.random.rademacher(key_sign, (len(images),), images.dtype)
        images = apply(images, choice, sign * (magnitude / MAX_MAGNITUDE))
    return images


def apply(images: jax.Array, choice: jax.Array, level: jax.Array) -> jax.Array:
    """Applies operation `OPERATIONS[choice[i]]` at strength `level[i]` to image `i`.

    Args:
        images: (B, H, W, 3) in [0, 1].
        choice: (B,) int32.
        level: (B,) in [-1, 1]; the sign is a direction where the operation has one, else ignored.
    """
    strength = jnp.abs(level)
    factor = 1 + _MAX_ENHANCEMENT * level[:, None, None, None]
    results: dict[str, Callable[[], jax.Array]] = {
        "brightness": lambda: color.brightness(images, factor),
        "contrast": lambda: color.contrast(images, factor),
        "color": lambda: color.saturation(images, factor),
        "sharpness": lambda: sharpness(images, factor),
        "posterize": lambda: posterize(images, 8 - jnp.round(_MAX_BITS_LOST * strength)),
        "solarize": lambda: solarize(images, 1 - strength),
        "autocontrast": lambda: autocontrast(images),
        "equalize": lambda: equalize(images),
    }
    chosen = affine(images, _matrices(choice, level, *images.shape[1:3]))
    for name, result in results.items():
        mask = choice == OPERATIONS.index(name)
        chosen = jnp.where(mask[:, None, None, None], result(), chosen)
    return chosen


def _matrices(choice: jax.Array, level: jax.Array, height: int, width: int) -> jax.Array:
    """(B, 2, 3) from the place in the result to the place in the source, both (x, y), centre at 0."""

    def chosen(name: str) -> jax.Array:
        return jnp.where(choice == OPERATIONS.index(name), level, 0.0)

    angle = chosen("rotate") * _MAX_ROTATION
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    first_row = (cosine, chosen("shear_x") * _MAX_SHEAR - sine)
    second_row = (chosen("shear_y") * _MAX_SHEAR + sine, cosine)
    shift_x = jnp.trunc(chosen("translate_x") * _MAX_TRANSLATION * width)
    shift_y = jnp.trunc(chosen("translate_y") * _MAX_TRANSLATION * height)
    rows = (jnp.stack([*first_row, shift_x], -1), jnp.stack([*second_row, shift_y], -1))
    return jnp.stack(rows, axis=1)


def affine(images: jax.Array, matrices: jax.Array) -> jax.Array:
    """Samples each image at affinely moved places, nearest pixel; places outside are mid-grey.

    Args:
        images: (B, H, W, C).
        matrices: (B, 2, 3): (x, y) in the source = A (x, y, 1) in the result, in pixels from the centre.
    """
    _, h, w, _ = images.shape
    y, x = jnp.meshgrid(jnp.arange(h) - (h - 1) / 2, jnp.arange(w) - (w - 1) / 2, indexing="ij")
    m = matrices[:, :, :, None, None]
    source_x = jnp.floor(m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2] + w / 2).astype(jnp.int32)
    source_y = jnp.floor(m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2] + h / 2).astype(jnp.int32)
    inside = (source_x >= 0) & (source_x < w) & (source_y >= 0) & (source_y < h)
    flat_index = jnp.clip(source_y, 0, h - 1) * w + jnp.clip(source_x, 0, w - 1)
    flat = images.reshape(len(images), h * w, -1)
    sampled = jnp.take_along_axis(flat, flat_index.reshape(len(images), h * w, 1), axis=1)
    return jnp.where(inside[..., None], sampled.reshape(images.shape), _FILL)


def sharpness(images: jax.Array, factor: jax.Array) -> jax.Array:
    """0: smoothed, 1: unchanged; the border keeps its values. PIL's filter: 1 around, 5 in the middle."""
    total = 4 * images[:, 1:-1, 1:-1]
    for dy in range(3):
        for dx in range(3):
            rows = slice(dy, images.shape[1] - 2 + dy)
            columns = slice(dx, images.shape[2] - 2 + dx)
            total += images[:, rows, columns]
    smooth = images.at[:, 1:-1, 1:-1].set(total / 13)
    return color.blend(smooth, images, factor)


def posterize(images: jax.Array, bits: jax.Array) -> jax.Array:
    """Keeps the highest `bits` (B,) of each value's eight."""
    step = jnp.exp2(8 - bits)[:, None, None, None]
    return jnp.floor(_levels(images) / step) * step / 255


def solarize(images: jax.Array, threshold: jax.Array) -> jax.Array:
    """Inverts the values at or above `threshold` (B,), itself in [0, 1]."""
    return jnp.where(images >= threshold[:, None, None, None], 1 - images, images)


def autocontrast(images: jax.Array) -> jax.Array:
    """Stretches each channel of each image to the whole range; a constant channel stays."""
    low = images.min(axis=(1, 2), keepdims=True)
    span = images.max(axis=(1, 2), keepdims=True) - low
    constant = span <= 0
    return jnp.where(constant, images, (images - low) / jnp.where(constant, 1, span))


def equalize(images: jax.Array) -> jax.Array:
    """Makes the histogram of each channel of each image as flat as a table of 256 levels can.

    The table of PIL's `ImageOps.equalize`: level v becomes (step // 2 + pixels below v) // step, where step
    is 1/255 of all pixels but those of the highest level present.
    """
    b, h, w, c = images.shape
    levels = _levels(images).astype(jnp.int32).transpose(0, 3, 1, 2).reshape(b * c, h * w)
    ordered = jnp.sort(levels, axis=1)
    all_levels = jnp.arange(256)
    # Pixels below each level: its place in the sorted values.
    below = jax.vmap(lambda values: jnp.searchsorted(values, all_levels, side="left"))(ordered)
    highest = jnp.take_along_axis(below, ordered[:, -1:], axis=1)
    step = highest // 255
    table = jnp.minimum((step // 2 + below) // jnp.maximum(step, 1), 255)
    table = jnp.where(step == 0, all_levels, table)
    result = jnp.take_along_axis(table, levels, axis=1) / 255
    return result.reshape(b, c, h, w).transpose(0, 2, 3, 1).astype(images.dtype)


def _levels(images: jax.Array) -> jax.Array:
    """Values 0..255 of images in [0, 1]."""
    return jnp.round(images * 255)
