"""Mix without parameters of its own: sums over neighbouring channels.

The mixes that have parameters are Flax modules, in `chanattn.attention.mix`.
"""

import jax
import jax.numpy as jnp
from jax import lax


def correlate(s: jax.Array, taps: jax.Array, circular: bool = False) -> jax.Array:
    """z_i = sum_j taps_j s_{i+j} over the last axis, j = -(k-1)/2 .. (k-1)/2.

    A cross-correlation, as PyTorch's Conv1d.

    Args:
        s: (..., C).
        taps: (k,), k odd, or (k, C) if every output channel has taps of its own.
        circular: Channel C is followed by channel 1; otherwise there are zeros beyond both ends.
    """
    if taps.ndim == 1:
        return _slide(s, taps, circular)
    return jnp.sum(_windows(s, taps.shape[0], circular) * taps.T, axis=-1)


def _slide(s: jax.Array, taps: jax.Array, circular: bool) -> jax.Array:
    """`correlate` with taps that all channels share, as one convolution.

    Its gradient is a convolution again. That of a sum of shifted copies is such a sum, which XLA would
    compute anew for every position of the feature map (CPU: ECA took 1.2 to 1.7 times as long).
    """
    reach = (taps.shape[0] - 1) // 2
    padded = pad_channels(s, reach, circular) if circular else s
    z = lax.conv_general_dilated(
        padded.reshape(-1, padded.shape[-1], 1),
        taps.astype(s.dtype)[:, None, None],
        window_strides=(1,),
        padding=[(0, 0) if circular else (reach, reach)],
        dimension_numbers=("NWC", "WIO", "NWC"),
        precision=lax.Precision.HIGHEST,
    )
    return z.reshape(s.shape)


def _windows(s: jax.Array, k: int, circular: bool) -> jax.Array:
    """(..., C, k): for every channel those that k taps around it see."""
    channels = s.shape[-1]
    padded = pad_channels(s, (k - 1) // 2, circular)
    return jnp.stack([padded[..., j : j + channels] for j in range(k)], axis=-1)


def pad_channels(s: jax.Array, reach: int, circular: bool = False) -> jax.Array:
    """`reach` more entries at both ends of the last axis: zeros, or those of the other end if `circular`."""
    edges = [(0, 0)] * (s.ndim - 1) + [(reach, reach)]
    return jnp.pad(s, edges, mode="wrap" if circular else "constant")
