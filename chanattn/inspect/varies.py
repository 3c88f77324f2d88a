"""What varies: how weights differ between pictures, between classes, and among themselves.

Everything is added up as the pictures pass; nothing is kept of them. Moments are merged batch by batch (Chan,
Golub, LeVeque. Updating formulae and a pairwise algorithm for computing sample variances. 1979), in float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import units
from chanattn.inspect.network import Site

SATURATED = 0.05
"""A weight is counted as saturated within this distance of 0 or of 1."""
MOST_UNITS = 2048
"""With more, the covariance between units is left out."""
BINS = 8
"""Of a weight, for mutual information: equally probable if it were normal."""
_EDGES = np.array([-1.15035, -0.67449, -0.31864, 0.0, 0.31864, 0.67449, 1.15035])
_MOST_COUNTS = 4_000_000
_SHOWN_BINS = 24


@dataclass(frozen=True)
class Classes:
    """The classes that a picture shows.

    Attributes:
        names: In order.
        exclusive: Whether every picture shows exactly one.
    """

    names: tuple[str, ...]
    exclusive: bool = True


def seen(site: Site, weights: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
    """What `Moments.add` takes of the weights of a batch; traced. Padding, mask 0, is left out."""
    w = weights.astype(jnp.float32)
    real = mask > 0
    there = real.reshape(-1, *(1,) * (w.ndim - 1))
    n = jnp.maximum(real.sum(), 1)
    mean = jnp.where(there, w, 0).sum(axis=0) / n
    return {
        "units": units.of(site, w),
        "mean": mean,
        "squares": jnp.where(there, jnp.square(w - mean), 0).sum(axis=0),
        "low": jnp.where(there, w, jnp.inf).min(),
        "high": jnp.where(there, w, -jnp.inf).max(),
        "near_zero": (there & (jnp.abs(w) < SATURATED)).sum(axis=0).astype(jnp.float32).mean(),
        "near_one": (there & (jnp.abs(w - 1) < SATURATED)).sum(axis=0).astype(jnp.float32).mean(),
    }


class Moments:
    """Of the weights of one site, over all pictures of a first pass.

    Attributes:
        pictures: How many there were.
        mean: Of every weight, the shape of the site.
        unit_mean: (U,).
        class_pictures: How many showed each class, (K,).
        class_sums: Of the units over the pictures with each class, (K, U).
    """

    def __init__(self, site: Site, classes: int) -> None:
        width = units.count(site)
        self.site, self.pictures = site, 0
        self.mean = np.zeros(site.shape)
        self._squares = np.zeros(site.shape)
        self.unit_mean = np.zeros(width)
        self._scatter = np.zeros((width, width)) if width <= MOST_UNITS else None
        self._unit_squares = np.zeros(width)
        self.class_pictures, self.class_sums = np.zeros(classes), np.zeros((classes, width))
        self._low, self._high, self._near = np.inf, -np.inf, np.zeros(2)

    def add(self, batch: Mapping[str, Any], mask: np.ndarray, shown: np.ndarray) -> None:
        """Adds a batch.

        Args:
            batch: What `seen` gave.
            mask: (B,), 1 for real pictures.
            shown: (B, K), 1 where a picture shows a class.
        """
        real = np.asarray(mask) > 0
        n, before = int(real.sum()), self.pictures
        if not n:
            return
        self.pictures += n
        part = before * n / self.pictures
        distance = np.asarray(batch["mean"], np.float64) - self.mean
        self._squares += np.asarray(batch["squares"], np.float64) + part * distance**2
        self.mean += distance * n / self.pictures
        u = np.asarray(batch["units"], np.float64)[real]
        centre = u.mean(axis=0)
        away = centre - self.unit_mean
        self._unit_squares += ((u - centre) ** 2).sum(axis=0) + part * away**2
        if self._scatter is not None:
            self._scatter += (u - centre).T @ (u - centre) + part * np.outer(away, away)
        self.unit_mean += away * n / self.pictures
        self.class_pictures += np.asarray(shown, np.float64)[real].sum(axis=0)
        self.class_sums += np.asarray(shown, np.float64)[real].T @ u
        self._low = min(self._low, float(batch["low"]))
        self._high = max(self._high, float(batch["high"]))
        self._near += [float(batch["near_zero"]), float(batch["near_one"])]

    @property
    def unit_deviation(self) -> np.ndarray:
        """Standard deviation over the pictures, (U,)."""
        return np.sqrt(self._unit_squares / max(self.pictures - 1, 1))

    def class_means(self) -> np.ndarray:
        """Mean units of the pictures with each class, (K, U); the mean over all where there are none."""
        counts = self.class_pictures[:, None]
        return np.where(counts > 0, self.class_sums / np.maximum(counts, 1), self.unit_mean)

    def effective_rank(self) -> float | None:
        """Participation ratio of the covariance of the units: (sum of eigenvalues)^2 / sum of their squares.

        Between 1, all units move together, and U; None where nothing moves beyond rounding, or U is too
        large.
        """
        if self._scatter is None or self._still():
            return None
        return float(np.trace(self._scatter) ** 2 / (self._scatter**2).sum())

    def between_classes(self) -> np.ndarray:
        """Share of the variance of each unit that is between classes (eta squared), (U,); NaN if none."""
        away = self.class_means() - self.unit_mean
        between = (self.class_pictures[:, None] * away**2).sum(axis=0)
        moving = self._unit_squares > 0
        return np.where(moving, between / np.where(moving, self._unit_squares, 1), np.nan)

    def _still(self) -> bool:
        """Whether what varies is rounding of float32."""
        scale = max(abs(self._low), abs(self._high))
        return bool(self.unit_deviation.max(initial=0) <= 1e-6 * scale)

    def summary(self, classes: Classes) -> dict[str, Any]:
        """The numbers; JSON values.

        `deviation` is that of a weight over the pictures, and `deviation_between_units` that of the mean
        weights; `chance` is what `between_classes` is expected to be of weights that know nothing of the
        class, (K - 1) / (N - 1).
        """
        n = max(self.pictures, 1)
        found: dict[str, Any] = {
            "pictures": self.pictures,
            "mean": float(self.mean.mean()),
            "deviation": float(np.sqrt(self._squares.mean() / max(self.pictures - 1, 1))),
            "deviation_between_units": float(self.unit_mean.std()),
            "low": self._low,
            "high": self._high,
            "near_zero": float(self._near[0] / n),
            "near_one": float(self._near[1] / n),
            "varies": not self._still(),
            "effective_rank": self.effective_rank(),
            "units": len(self.unit_mean),
        }
        shown = int((self.class_pictures > 0).sum())
        if classes.exclusive and shown > 1 and self.pictures > 1 and not self._still():
            share = self.between_classes()
            total = float(np.nansum(share * self._unit_squares) / self._unit_squares.sum())
            found["between_classes"] = {
                "share": total,
                "chance": (shown - 1) / (self.pictures - 1),
                "highest": float(np.nanmax(share)),
            }
        return found


class Distributions:
    """Of the weights of one site, in a second pass: histograms whose bins the first has told."""

    def __init__(self, moments: Moments, classes: Classes) -> None:
        self._moments, self._classes = moments, classes
        width, labels = len(moments.unit_mean), max(len(classes.names), 1)
        fit = max(_MOST_COUNTS // (labels * BINS), 1)
        self.looked_at = np.unique(np.linspace(0, width - 1, min(width, fit)).astype(int))
        scale = moments.unit_deviation[self.looked_at]
        self._edges = moments.unit_mean[self.looked_at] + _EDGES[:, None] * scale
        self._counts = np.zeros((len(self.looked_at), labels, BINS))
        low, high = moments._low, moments._high
        self.bins = np.linspace(low, high if high > low else low + 1, _SHOWN_BINS + 1)
        self._histogram = np.zeros(_SHOWN_BINS)

    def add(self, values: np.ndarray, mask: np.ndarray, shown: np.ndarray) -> None:
        """Adds the units (B, U) of a batch, with its mask and its classes as in `Moments.add`."""
        real = np.asarray(mask) > 0
        u = np.asarray(values, np.float64)[real]
        self._histogram += np.histogram(np.clip(u, self.bins[0], self.bins[-1]), self.bins)[0]
        if not self._classes.exclusive or not len(self._classes.names):
            return
        label = np.asarray(shown)[real].argmax(axis=1)
        bin_of = (u[:, self.looked_at, None] > self._edges.T).sum(axis=-1)  # (B, U')
        place = np.arange(len(self.looked_at))
        np.add.at(self._counts, (place[None], label[:, None], bin_of), 1)

    def summary(self) -> dict[str, Any]:
        """The histogram of all units, and mutual information with the class; JSON values.

        The plug-in estimate I = sum p log2(p / (p_class p_bin)) is too high by about
        (cells - classes - bins + 1) / (2 N ln 2) bits, counted where something fell (Miller 1955): `bias`;
        `bits` and `highest` are without it, of the mean unit and of the one that tells most.
        """
        found: dict[str, Any] = {
            "histogram": {"edges": self.bins.tolist(), "counts": self._histogram.tolist()}
        }
        if self._classes.exclusive and len(self._classes.names) > 1 and self._counts.sum():
            plugin, bias = mutual_information(self._counts)
            label = self._counts[0].sum(axis=1)
            p = label[label > 0] / label.sum()
            found["mutual_information"] = {
                "bits": float((plugin - bias).mean()),
                "highest": float((plugin - bias).max()),
                "plugin": float(plugin.mean()),
                "bias": float(bias.mean()),
                "entropy_of_class": float(-(p * np.log2(p)).sum()),
                "bins": BINS,
                "units": len(self.looked_at),
            }
        return found


def mutual_information(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plug-in estimate and its first-order bias, both (U,) in bits, of counts (U, K, bins)."""
    total = counts.sum(axis=(1, 2), keepdims=True)
    p = counts / np.maximum(total, 1)
    apart = p.sum(axis=2, keepdims=True) * p.sum(axis=1, keepdims=True)
    there = p > 0
    ratio = np.where(there, p, 1) / np.where(there, apart, 1)
    plugin = (p * np.log2(ratio)).sum(axis=(1, 2))
    cells = there.sum(axis=(1, 2))
    rows, columns = (there.any(axis=axis).sum(axis=1) for axis in (2, 1))
    bias = (cells - rows - columns + 1) / (2 * np.maximum(total[:, 0, 0], 1) * np.log(2))
    return plugin, bias
