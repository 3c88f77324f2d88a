"""Weights in place of a network's own: one function for every question; all of them pure.

All give arrays of the shape of the weights, (N, ...), so that one program of the network serves every
intervention.
"""

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import units
from chanattn.inspect.network import POSITIONS, Site

#: What `does_it_matter` replaces weights by, and in words.
KINDS = {
    "mean": "their mean over all pictures",
    "class_mean": "their mean over the pictures of the same class",
    "another": "those of another picture",
    "one": "one number for all channels and pictures, the mean of all",
    "permuted": "their own, permuted over the channels",
}
DRAWN = ("another", "permuted")
"""Those in which chance has a part."""


def mean(own: jax.Array, average: jax.Array) -> jax.Array:
    """The mean over the data, (...,), for every picture of the weights (N, ...)."""
    return jnp.broadcast_to(average.astype(own.dtype), own.shape)


def class_mean(
    site: Site, own: jax.Array, average: jax.Array, by_class: jax.Array, shown: jax.Array
) -> jax.Array:
    """The mean, moved by as much as that of the picture's classes differs from it in every unit.

    Args:
        site: Whose weights they are.
        own: (N, ...).
        average: (...,).
        by_class: (K, U), mean units of each class.
        shown: (N, K), 1 where the picture shows the class; of several the mean is taken.
    """
    base = units.of(site, average[None])
    total = jnp.maximum(shown.sum(axis=1, keepdims=True), 1)
    moved = jnp.where(shown.any(axis=1, keepdims=True), shown @ by_class / total - base, 0)
    return (average + units.spread(site, moved)).astype(own.dtype)


def another(own: jax.Array, donors: jax.Array) -> jax.Array:
    """The weights of the pictures with the numbers `donors` (N,) in the batch."""
    return own[donors]


def one(own: jax.Array, average: jax.Array) -> jax.Array:
    """The mean of all mean weights."""
    return jnp.full_like(own, jnp.mean(average))


def permuted(site: Site, own: jax.Array, order: jax.Array) -> jax.Array:
    """Weights (N, ...) in another order (`permutation_length`,) of the channels; else of the positions."""
    if site.kind == POSITIONS and (site.shape[-1] == 1 or site.path[-1] == "spatial"):
        return own.reshape(len(own), -1)[:, order].reshape(own.shape)
    return own[..., order]


def permutation_length(site: Site) -> int:
    """Of the order that `permuted` takes."""
    if site.kind == POSITIONS:
        return units.count(site)
    return site.shape[-1]


def donors(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """For each picture of a batch the number of another one; padding, and a picture alone, keep their own."""
    found, real = np.arange(len(mask)), np.flatnonzero(mask > 0)
    if len(real) > 1:
        around = rng.permutation(real)
        found[around] = np.roll(around, int(rng.integers(1, len(real))))
    return found
