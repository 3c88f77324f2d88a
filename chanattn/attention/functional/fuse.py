"""Fuse: how weights act on the map that they were made of."""

from collections.abc import Callable

import jax

from chanattn.errors import UsageError, did_you_mean

Fuse = Callable[[jax.Array, jax.Array], jax.Array]


def scale(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x w (most of the family)."""
    return x * w


def residual(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x (1 + w) (BAM, BiSeNet's FFM)."""
    return x * (1 + w)


def add(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x + w (GC)."""
    return x + w


def over_space(w: jax.Array, x: jax.Array) -> jax.Array:
    """Weights (N, C) shaped and typed for a map (N, H, W, C); weights that are a map stay one."""
    shaped = w if w.ndim == x.ndim else w[:, None, None, :]
    return shaped.astype(x.dtype)


_FUSES: dict[str, Fuse] = {"scale": scale, "residual": residual, "add": add}


def names() -> list[str]:
    """The ways to apply weights that have a name."""
    return list(_FUSES)


def get(name: str) -> Fuse:
    """The way called `name` to apply weights.

    Raises:
        UsageError: The name is unknown.
    """
    if name not in _FUSES:
        raise UsageError(
            f"unknown fuse {name!r}; valid: {', '.join(names())}.{did_you_mean(name, names())}"
        )
    return _FUSES[name]
