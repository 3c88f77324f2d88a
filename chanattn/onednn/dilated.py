"""Dilated convolutions as ordinary ones on the phases of the map.

The taps of a kernel with dilation d meet every d-th row and column alone. So a map is d x d smaller ones, its
phases, each convolved without dilation. oneDNN has little code of its own for the gradients of a dilated
convolution. What it does instead takes up to ten times as long in groups of few channels, and 25 times where
a grouped convolution has strides too (benchmarks/NOTES.md).
"""

import jax
import jax.numpy as jnp

from chanattn.onednn.convolution import Geometry, multiplies_patches

# Of a group; with more, the product is fast, and copies of the maps cost more than it.
_MOST_INPUTS = 16


def on_first_phase(x: jax.Array, geometry: Geometry) -> tuple[jax.Array, Geometry]:
    """The same convolution on one phase of the map, where strides are the dilation and meet no other."""
    if geometry.dilation == geometry.strides and _pads_divide(geometry):
        down, across = geometry.strides
        x = x[:, ::down, ::across]
        padding = _pads_of_a_phase(geometry)
        geometry = Geometry(x.shape, geometry.kernel, (1, 1), padding, (1, 1), geometry.groups)
    return x, geometry


def phases_of(geometry: Geometry) -> Geometry | None:
    """The same convolution on phases, where the gradient of its kernel is faster so; None where it is not."""
    if (
        geometry.dilation == (1, 1)
        or geometry.strides != (1, 1)
        or geometry.kernel[2] > _MOST_INPUTS
        or not _pads_divide(geometry)
        or not multiplies_patches("kernel", geometry)
    ):
        return None
    (n, height, width, channels), (down, across) = geometry.image, geometry.dilation
    image = (n * down * across, -(-height // down), -(-width // across), channels)
    padding = _pads_of_a_phase(geometry)
    return Geometry(image, geometry.kernel, (1, 1), padding, (1, 1), geometry.groups)


def split(x: jax.Array, distances: tuple[int, int]) -> jax.Array:
    """The phases of (N, H, W, C), with zeros at their ends where the distances do not divide H and W.

    Returns:
        (N dv dh, ceil(H / dv), ceil(W / dh), C).
    """
    down, across = distances
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % down), (0, -x.shape[2] % across), (0, 0)))
    n, height, width, channels = x.shape
    x = x.reshape(n, height // down, down, width // across, across, channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, height // down, width // across, channels)


def _pads_divide(geometry: Geometry) -> bool:
    pads = zip(geometry.padding, geometry.dilation, strict=True)
    return not any(pad % distance for pair, distance in pads for pad in pair)


def _pads_of_a_phase(geometry: Geometry) -> tuple[tuple[int, int], tuple[int, int]]:
    (above, below), (left, right) = geometry.padding
    down, across = geometry.dilation
    return (above // down, below // down), (left // across, right // across)
