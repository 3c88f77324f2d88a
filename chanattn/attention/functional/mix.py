"""Mix without parameters of its own: sums over neighbouring channels.

The mixes that have parameters are Flax modules, in `chanattn.attention.mix`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from chanattn.layers import kernels

_FEW_TAPS = 15  # windows are as many copies


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
    compute anew for every position of the feature map (CPU: ECA took 1.2 to 1.7 times as long). Where fast
    kernels are chosen on a CPU, products of windows with the taps stand in for convolutions.
    """
    if kernels.current() == "plain" or len(taps) > _FEW_TAPS:
        return _convolved(s, taps, circular)
    by_windows, by_convolution = (
        partial(function, circular=circular) for function in (_multiplied, _convolved)
    )
    return kernels.by_platform(s, taps, cpu=by_windows, default=by_convolution)


def _multiplied(s: jax.Array, taps: jax.Array, circular: bool) -> jax.Array:
    @jax.custom_vjp
    def multiply(s: jax.Array, taps: jax.Array) -> jax.Array:
        return _windows(s, len(taps), circular) @ taps.astype(s.dtype)

    def backward(saved: tuple[jax.Array, jax.Array], dz: jax.Array) -> tuple[jax.Array, jax.Array]:
        s, taps = saved
        dtaps = jnp.einsum("...k,...->k", _windows(s, len(taps), circular), dz)
        return multiply(dz, taps[::-1]), dtaps.astype(taps.dtype)

    multiply.defvjp(lambda s, taps: (multiply(s, taps), (s, taps)), backward)
    return multiply(s, taps)


def _convolved(s: jax.Array, taps: jax.Array, circular: bool) -> jax.Array:
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
