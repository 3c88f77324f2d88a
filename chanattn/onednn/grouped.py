"""Grouped convolutions with few channels a group, with several groups in one kernel and zeros between them.

Where a group has fewer channels than a processor computes at a time, oneDNN may have no code of its own and
copies patches and multiplies matrices, which takes two to five times as long as a kernel that is mostly
zeros, in one case twenty times (benchmarks/NOTES.md). A value that is not finite makes NaN of all the groups
that share a kernel with its own.
"""

import dataclasses

import jax
import jax.numpy as jnp

from chanattn.onednn.convolution import Geometry, multiplies_patches

_MOST_INPUTS = 16  # of a kernel with zeros; more were never needed


def merged(direction: str, geometry: Geometry) -> Geometry:
    """The same convolution with as few groups in one as oneDNN has code for; as it is where it has some.

    Args:
        direction: see `multiplies_patches`.
        geometry: shapes and windows.
    """
    (*taps, inputs, outputs), groups = geometry.kernel, geometry.groups
    if groups > 1 and multiplies_patches(direction, geometry):
        for together in range(2, min(groups, _MOST_INPUTS // inputs) + 1):
            if groups % together == 0:
                kernel = (*taps, together * inputs, outputs)
                wide = dataclasses.replace(geometry, kernel=kernel, groups=groups // together)
                if not multiplies_patches(direction, wide):
                    return wide
    return geometry


def widen(kernel: jax.Array, before: Geometry, after: Geometry) -> jax.Array:
    """The kernel with zeros for the channels of other groups: (kh, kw, I, O) to (kh, kw, m I, O)."""
    if after == before:
        return kernel
    return jnp.where(_own(before, after), kernel[:, :, None], 0).reshape(after.kernel)


def narrow(kernel: jax.Array, before: Geometry, after: Geometry) -> jax.Array:
    """What `widen` has put zeros around: (kh, kw, m I, O) to (kh, kw, I, O)."""
    if after == before:
        return kernel
    kh, kw, inputs, outputs = before.kernel
    apart = kernel.reshape(kh, kw, -1, inputs, outputs)
    return jnp.where(_own(before, after), apart, 0).sum(2)


def _own(before: Geometry, after: Geometry) -> jax.Array:
    """(m, 1, O): whether an output belongs to that one of the m groups in one."""
    together = before.groups // after.groups
    of_a_group = before.kernel[3] // before.groups
    place = jnp.arange(before.kernel[3]) // of_a_group % together
    return (place == jnp.arange(together)[:, None])[:, None]
