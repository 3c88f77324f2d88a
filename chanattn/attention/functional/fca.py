"""Components of the two-dimensional discrete cosine transform, as FcaNet squeezes by them.

Qin, Zhang, Wu, Li; ICCV 2021; arXiv:2012.11879; the formulas stand in `chanattn/attention/fca.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.errors import UsageError
from chanattn.layers.pool import adaptive_avg_pool

Component = tuple[int, int]

SIDE = 7

# Rows of (u, v) in the order of the authors' model/layer.py (github.com/cfzd/FcaNet).
_RANKINGS: dict[str, str] = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}


def components(frequencies: str) -> tuple[Component, ...]:
    """Components (u, v) on the 7x7 grid: "top16" the first 16 of that ranking, "0,1" a single one.

    Raises:
        UsageError: They are neither.
    """
    frequencies = str(frequencies)
    ranking, count = frequencies[:3], frequencies[3:]
    if ranking in _RANKINGS and count.isdecimal() and 1 <= int(count) <= 32:
        return tuple(
            (int(pair[0]), int(pair[1])) for pair in _RANKINGS[ranking].split()[: int(count)]
        )
    u, _, v = frequencies.partition(",")
    single = [int(index) for index in (u, v) if index.isdecimal() and int(index) < SIDE]
    if len(single) != 2:
        raise UsageError(
            f"fca: unknown frequencies {frequencies!r}; valid: top, low or bot with a number from 1 to 32 "
            "('top16'), or one component u,v with both from 0 to 6 ('0,1')"
        )
    return ((single[0], single[1]),)


def basis(chosen: tuple[Component, ...], height: int, width: int) -> np.ndarray:
    """Basis (height, width, n) of the n components, spread from the 7x7 grid to this one."""
    rows = [_cosine(u * (height // SIDE), height) for u, _ in chosen]
    columns = [_cosine(v * (width // SIDE), width) for _, v in chosen]
    return np.einsum("nh,nw->hwn", rows, columns).astype(np.float32)


def _cosine(frequency: int, length: int) -> np.ndarray:
    wave = np.cos(np.pi * frequency * (np.arange(length) + 0.5) / length) / np.sqrt(length)
    return wave if frequency == 0 else wave * np.sqrt(2)


def project(x: jax.Array, basis: jax.Array | np.ndarray) -> jax.Array:
    """Descriptor (N, C) of (N, H, W, C): contiguous group i of the channels on component i of (H', W', n).

    A map of another size than H' x W' is pooled to it first.
    """
    height, width, count = basis.shape
    x = x.astype(jnp.float32)
    if x.shape[1:3] != (height, width):
        x = adaptive_avg_pool(x, (height, width))
    groups = x.reshape(*x.shape[:3], count, x.shape[-1] // count)
    return jnp.sum(groups * basis[..., None], axis=(1, 2)).reshape(x.shape[0], x.shape[-1])
