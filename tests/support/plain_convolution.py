"""The convolution that all others are compared with."""

import jax
from jax import lax

from chanattn.onednn.convolution import Geometry


def plain_convolution(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """JAX's own, of (N, H, W, I) with (kh, kw, I / groups, O)."""
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.strides,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=geometry.groups,
    )
