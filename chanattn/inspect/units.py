"""Weights of any shape as one number a unit, (N, ...) -> (N, U), and back to where they are applied.

A unit is what a weight is of: a channel, a channel of a branch, or a position. Channels that have weights at
many positions, (N, H, W, C), have their mean over them, and so do positions that have weights for many
others, (N, P, P).
"""

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect.network import BRANCHES, POSITIONS, Site


def count(site: Site) -> int:
    """U."""
    return int(np.prod(site.shape)) if _flat(site) else site.shape[-1]


def of(site: Site, weights: jax.Array) -> jax.Array:
    """One number a unit, float32: (N, ...) -> (N, U)."""
    weights = weights.astype(jnp.float32)
    if _flat(site):
        return weights.reshape(len(weights), -1)
    return weights.mean(axis=tuple(range(1, weights.ndim - 1)))


def spread(site: Site, values: jax.Array) -> jax.Array:
    """Values (N, U) in a shape that broadcasts to the weights (N, ...); the same at all positions."""
    if _flat(site):
        return values.reshape(len(values), *site.shape)
    return values.reshape(len(values), *(1,) * (len(site.shape) - 1), -1)


def _flat(site: Site) -> bool:
    """Whether every weight is a unit: of branches, and of positions that are not weighed for each other."""
    return site.kind == BRANCHES or (
        site.kind == POSITIONS and (site.shape[-1] == 1 or site.path[-1] == "spatial")
    )
