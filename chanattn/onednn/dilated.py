"""The gradient of a dilated kernel, as that of an ordinary one on the phases of the map.

The taps of a kernel with dilation d meet every d-th row and column alone. So a map is d x d smaller ones, its
phases, each convolved without dilation. Where oneDNN has no code of its own for the gradient of a dilated
kernel it copies patches and multiplies matrices, which takes up to ten times as long if channels are few
(benchmarks/NOTES.md).
"""

import jax
import jax.numpy as jnp

from chanattn.onednn.convolution import Geometry, multiplies_patches

_MOST_INPUTS = (
    16  # of a group; with more, the product is fast and copies of the maps cost more than it
)


def phases_of(geometry: Geometry) -> Geometry | None:
    """The same convolution on phases, where the gradient of its kernel is faster so; None where it is not."""
    pads = list(zip(geometry.padding, geometry.dilation, strict=True))
    if (
        geometry.dilation == (1, 1)
        or geometry.strides != (1, 1)
        or geometry.kernel[2] > _MOST_INPUTS
        or any(pad % distance for pair, distance in pads for pad in pair)
        or not multiplies_patches(geometry)
    ):
        return None
    (n, height, width, channels), (down, across) = geometry.image, geometry.dilation
    (above, below), (left, right) = (
        (before // distance, after // distance) for (before, after), distance in pads
    )
    image = (n * down * across, -(-height // down), -(-width // across), channels)
    padding = ((above, below), (left, right))
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
