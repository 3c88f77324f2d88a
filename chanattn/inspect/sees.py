"""What does a channel see? The pictures that raise it most, its colour tuning, and its map."""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import units
from chanattn.inspect.network import Batch, Network, Site

HUES = 12
LIGHTNESSES = (0.15, 0.3, 0.5, 0.7, 0.85)


class Strongest:
    """The pictures with the largest values of each unit, as batches pass; memory is that of what is kept.

    Attributes:
        values: (U, k), falling; -inf where there were not so many.
        index: Of the pictures, (U, k); -1 there.
    """

    def __init__(self, width: int, most: int) -> None:
        self.values = np.full((width, most), -np.inf)
        self.index = np.full((width, most), -1)

    def add(self, values: np.ndarray, index: np.ndarray) -> None:
        """Adds (B, U) values of the pictures with the numbers (B,)."""
        together = np.concatenate([self.values, np.asarray(values, np.float64).T], axis=1)
        numbers = np.broadcast_to(np.asarray(index), (len(together), len(index)))
        numbers = np.concatenate([self.index, numbers], axis=1)
        best = np.argsort(-together, axis=1, kind="stable")[:, : self.values.shape[1]]
        self.values = np.take_along_axis(together, best, axis=1)
        self.index = np.take_along_axis(numbers, best, axis=1)


def colours() -> np.ndarray:
    """The colours of `colour_tuning`, (HUES * len(LIGHTNESSES), 3) in [0, 1].

    All hues of one lightness, then of the next, of full saturation (HLS). Hue 0 is red, 1/3 green, 2/3 blue.
    """
    return np.array(
        [
            colorsys.hls_to_rgb(hue / HUES, lightness, 1.0)
            for lightness in LIGHTNESSES
            for hue in range(HUES)
        ]
    )


def greys() -> np.ndarray:
    """Grey of each lightness, (len(LIGHTNESSES), 3)."""
    return np.repeat(np.array(LIGHTNESSES)[:, None], 3, axis=1)


def colour_tuning(
    network: Network, variables: Any, sites: Sequence[Site], batch: Batch
) -> dict[str, Any]:
    """Weights and responses of every channel on pictures of one colour.

    Such a picture is nothing that the network was trained on: what it tells is the tuning to colour alone.

    Args:
        network: The network.
        variables: Of it.
        sites: Of it.
        batch: Pictures of `colours()`, then of `greys()`, prepared as those of the data.

    Returns:
        `hues`, in turns; `lightnesses`; and by site `weight`, by module `response`, the mean over positions
        of the map that it returned: (channels, lightnesses, hues), and behind `_of_grey` (channels,
            lightnesses).
    """

    @jax.jit
    def seen(variables: Any, batch: Batch) -> Any:
        _, own, maps = network.maps(variables, batch)
        weight = {site.name: units.of(site, own[site.name]) for site in sites}
        return weight, {
            name: each.astype(jnp.float32).mean(axis=(1, 2)) for name, each in maps.items()
        }

    weight, response = jax.device_get(seen(variables, batch))
    wanted = {site.module for site in sites}
    response = {name: each for name, each in response.items() if name in wanted}
    found: dict[str, Any] = {
        "hues": [hue / HUES for hue in range(HUES)],
        "lightnesses": list(LIGHTNESSES),
    }
    for key, values in (("weight", weight), ("response", response)):
        found[key] = {name: _grid(each) for name, each in values.items()}
        found[key + "_of_grey"] = {
            name: each[-len(LIGHTNESSES) :].T.astype(float) for name, each in values.items()
        }
    return found


def preference(grid: np.ndarray) -> dict[str, np.ndarray]:
    """The hue that each channel prefers, of (U, L, H): the resultant over the hues, with L averaged.

    Returns:
        `hue`, the direction, in turns (U,); `selectivity`, the share of the variance over all colours that is
        between hues, (U,), NaN where a channel is the same for all.
    """
    by_hue = grid.mean(axis=1)
    angle = 2 * np.pi * np.arange(grid.shape[2]) / grid.shape[2]
    resultant = ((by_hue - by_hue.min(axis=1, keepdims=True)) * np.exp(1j * angle)).sum(axis=1)
    total = grid.var(axis=(1, 2))
    moving = total > 1e-12 * np.maximum(np.square(grid).mean(axis=(1, 2)), 1e-30)
    share = np.where(moving, by_hue.var(axis=1) / np.where(moving, total, 1), np.nan)
    return {"hue": np.angle(resultant) / (2 * np.pi) % 1, "selectivity": share}


def _grid(values: np.ndarray) -> np.ndarray:
    """(colours and greys, U) -> (U, L, H)."""
    coloured = values[: HUES * len(LIGHTNESSES)].astype(float)
    return coloured.reshape(len(LIGHTNESSES), HUES, -1).transpose(2, 0, 1)


def small_map(values: np.ndarray, most: int = 16) -> np.ndarray:
    """A map (H, W) with the means of blocks, at most `most` on a side."""
    for axis in (0, 1):
        parts = min(most, values.shape[axis])
        edges = np.linspace(0, values.shape[axis], parts + 1).astype(int)[:-1]
        sums = np.add.reduceat(values, edges, axis=axis)
        lengths = np.diff([*edges, values.shape[axis]])
        values = sums / (lengths[:, None] if axis == 0 else lengths[None])
    return values


def strongest_to_list(
    found: Strongest, chosen: Mapping[int, Any] | Sequence[int]
) -> list[dict[str, Any]]:
    """Some units of it, for JSON."""
    return [
        {
            "unit": int(unit),
            "index": [int(i) for i in found.index[unit] if i >= 0],
            "values": [float(v) for v in found.values[unit] if np.isfinite(v)],
        }
        for unit in chosen
    ]
