"""Spatial pooling with PyTorch's borders."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chanattn.layers import kernels
from chanattn.onednn import operations
from chanattn.onednn.pooling import Windows


def max_pool(x: jax.Array, window: int, stride: int, padding: int = 0) -> jax.Array:
    """Maximum over windows of (N, H, W, C); padded cells never win."""

    def plain(x: jax.Array) -> jax.Array:
        return _reduce_window(x, -jnp.inf, lax.max, window, stride, _symmetric(padding))

    windows = Windows(x.shape, window, stride, padding)
    if kernels.current() != "onednn" or x.dtype != jnp.float32 or min(x.shape + windows.output) < 1:
        return plain(x)
    # XLA:CPU computes the gradient with a map of indices, in twenty times the time.
    return kernels.by_platform(x, cpu=lambda x: operations.max_pool(x, windows), default=plain)


def avg_pool(
    x: jax.Array,
    window: int,
    stride: int,
    padding: int = 0,
    *,
    count_padding: bool,
    ceil_mode: bool = False,
) -> jax.Array:
    """Mean over windows of (N, H, W, C).

    Args:
        x: Feature map.
        window: Height and width of the window.
        stride: Step in both directions.
        padding: Zeros on each side.
        count_padding: Divide by the full window (PyTorch's `count_include_pad`), else by the number of
            cells inside the map. ResNeSt's 3x3 pool counts them, ResNet-D's shortcut does not.
        ceil_mode: Keep the last, partial window: the output has ceil((size - window) / stride) + 1 cells.
    """
    pads = _symmetric(padding)
    if ceil_mode:
        low = padding
        pads = tuple((low, low + -(size + 2 * low - window) % stride) for size in x.shape[1:3])
    total = _reduce_window(x, 0.0, lax.add, window, stride, pads)
    if count_padding:
        return total / (window * window)
    ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return total / _reduce_window(ones, 0.0, lax.add, window, stride, pads)


def blur_pool(x: jax.Array, stride: int = 2, *, border: str = "reflect") -> jax.Array:
    """Every `stride`-th cell of (N, H, W, C) smoothed by [1, 2, 1] / 4 along rows and columns.

    The result is (N, ceil(H / stride), ceil(W / stride), C). Zhang, Making Convolutional Networks
    Shift-Invariant Again. ICML 2019, arXiv:1904.11486, Section 3.

    Args:
        x: The map.
        stride: Between the cells that are kept.
        border: What lies beyond, a mode of `jnp.pad`: "reflect", as in timm's ResNets, or "constant".
    """
    for axis in (1, 2):
        size = x.shape[axis]
        padded = jnp.pad(
            x, [(1, 1) if other == axis else (0, 0) for other in range(4)], mode=border
        )
        before, here, after = (
            lax.slice_in_dim(padded, start, start + size, stride, axis) for start in range(3)
        )
        x = (before + 2 * here + after) / 4
    return x


def adaptive_avg_pool(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Mean over the cells of a grid of `size`, whatever the map's: (N, H, W, C) -> (N, *size, C).

    With PyTorch's bins: cell i of n covers floor(i H / n) .. ceil((i + 1) H / n) - 1, so that neighbours
    overlap where n does not divide H, and rows repeat where n > H.
    """
    rows, columns = (
        jnp.asarray(_bins(length, cells), x.dtype)
        for length, cells in zip(x.shape[1:3], size, strict=True)
    )
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=lax.Precision.HIGHEST)


def _bins(length: int, cells: int) -> np.ndarray:
    """Matrix (cells, length) that averages each bin."""
    start = np.arange(cells) * length // cells
    stop = -(-np.arange(1, cells + 1) * length // cells)
    position = np.arange(length)
    inside = (start[:, None] <= position) & (position < stop[:, None])
    return inside / (stop - start)[:, None]


_Padding = tuple[tuple[int, int], ...]


def _symmetric(padding: int) -> _Padding:
    return ((padding, padding), (padding, padding))


def _reduce_window(
    x: jax.Array, init: float, reducer: Any, window: int, stride: int, pads: _Padding
) -> jax.Array:
    return lax.reduce_window(
        x,
        init,  # a Python number: JAX differentiates only the sums and maxima it recognises by it
        reducer,
        window_dimensions=(1, window, window, 1),
        window_strides=(1, stride, stride, 1),
        padding=((0, 0), *pads, (0, 0)),
    )
