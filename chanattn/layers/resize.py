"""Maps of another size: bilinear, or repeated."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chanattn.layers import kernels

_MOST_TAPS = 32  # of a sum that is written out: as from one pixel to a large map, in the gradient


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

    def plain(x: jax.Array) -> jax.Array:
        if not align_corners:
            return jax.image.resize(x, shape, "bilinear", antialias=False)
        placed = [_aligned(old, new) for old, new in zip(x.shape[1:3], size, strict=True)]
        scale, shift = jnp.asarray(placed, jnp.float32).T
        return jax.image.scale_and_translate(
            x, shape, (1, 2), scale, shift, "bilinear", antialias=False
        )

    return _resampled(x, size, lambda old, new: _between(old, new, align_corners), plain)


def nearest(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """(N, h, w, C) -> (N, H, W, C): row i is row floor(i h / H), as PyTorch's mode "nearest"."""

    def plain(x: jax.Array) -> jax.Array:
        rows, columns = (_below(old, new) for old, new in zip(x.shape[1:3], size, strict=True))
        return x[:, rows][:, :, columns]

    return _resampled(
        x, size, lambda old, new: np.eye(old, dtype=np.float32)[_below(old, new)], plain
    )


def _aligned(old: int, new: int) -> tuple[float, float]:
    """Scale and translation that put the centres of the first and the last pixel on each other."""
    if new == 1:
        return 1.0, 0.0  # the first pixel
    scale = (new - 1) / (old - 1) if old > 1 else new
    return scale, 0.5 - 0.5 * scale if old > 1 else 0.0


def _below(old: int, new: int) -> np.ndarray:
    """The pixel that each of `new` repeats."""
    return np.arange(new) * old // new


def _between(old: int, new: int, align_corners: bool) -> np.ndarray:
    """Matrix (new, old) of the weights of the two pixels between which each new one lies."""
    if align_corners:
        centres = np.linspace(0, old - 1, new)
    else:
        centres = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    weights = 1 - np.abs(centres[:, None] - np.arange(old))
    return np.where(weights > 1e-9, weights, 0).astype(np.float32)


def _resampled(
    x: jax.Array,
    size: tuple[int, ...],
    weights: Callable[[int, int], np.ndarray],
    plain: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """`plain(x)`, on a CPU where fast kernels are chosen as sums over the few pixels that count.

    XLA's products with the matrices of `weights` take ten times as long there, and so does the gradient of
    a gather, which is a scatter.
    """
    if kernels.current() == "plain" or x.dtype != jnp.float32:
        return plain(x)
    rows, columns = (weights(old, new) for old, new in zip(x.shape[1:3], size, strict=True))

    @jax.custom_vjp
    def resample(x: jax.Array) -> jax.Array:
        return _weighed(_weighed(x, rows, 1), columns, 2)

    def backward(_: None, dy: jax.Array) -> tuple[jax.Array]:
        return (_weighed(_weighed(dy, columns.T, 2), rows.T, 1),)

    resample.defvjp(lambda x: (resample(x), None), backward)
    return kernels.by_platform(x, cpu=resample, default=plain)


def _weighed(x: jax.Array, matrix: np.ndarray, axis: int) -> jax.Array:
    """The product of a banded matrix with an axis of x, as a sum over its diagonals."""
    columns = np.arange(matrix.shape[1])
    counts = matrix != 0
    first = np.where(counts, columns, columns[-1]).min(1)
    taps = (np.where(counts, columns, 0).max(1) - first).max() + 1
    if taps > _MOST_TAPS:
        product = jnp.tensordot(matrix, x, (1, axis), precision=lax.Precision.HIGHEST)
        return jnp.moveaxis(product, 0, axis)
    total = jnp.float32(0)
    for tap in range(taps):
        at = np.minimum(first + tap, columns[-1])
        weight = np.where(first + tap == at, matrix[np.arange(len(at)), at], 0)
        along = weight.reshape(-1, *[1] * (x.ndim - 1 - axis))
        total = total + jnp.take(x, at, axis, mode="clip") * along
    return total
