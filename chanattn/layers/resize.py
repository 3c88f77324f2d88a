"""Maps of another size: bilinear, or repeated."""

import jax
import jax.numpy as jnp
import numpy as np


def bilinear(x: jax.Array, size: tuple[int, ...], *, align_corners: bool = False) -> jax.Array:
    """(N, h, w, C) -> (N, H, W, C) by linear interpolation between the centres of pixels, not antialiased.

    Args:
        x: The map.
        size: (H, W).
        align_corners: Whether the centres of the pixels in the corners lie on each other, rather than the
            corners themselves; PyTorch's argument of that name.
    """
    shape = (x.shape[0], *size, x.shape[3])
    if x.shape == shape:
        return x
    if not align_corners:
        return jax.image.resize(x, shape, "bilinear", antialias=False)
    placed = [_aligned(old, new) for old, new in zip(x.shape[1:3], size, strict=True)]
    scale, shift = jnp.asarray(placed, jnp.float32).T
    return jax.image.scale_and_translate(
        x, shape, (1, 2), scale, shift, "bilinear", antialias=False
    )


def _aligned(old: int, new: int) -> tuple[float, float]:
    """Scale and translation that put the centres of the first and the last pixel on each other."""
    if new == 1:
        return 1.0, 0.0  # the first pixel
    scale = (new - 1) / (old - 1) if old > 1 else new
    return scale, 0.5 - 0.5 * scale if old > 1 else 0.0


def nearest(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """(N, h, w, C) -> (N, H, W, C): row i is row floor(i h / H), as PyTorch's mode "nearest"."""
    height, width = size
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows][:, :, columns]
