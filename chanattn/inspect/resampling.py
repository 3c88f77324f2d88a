"""Intervals by resampling pictures, in one pass, and rank correlations.

The bootstrap draws as many pictures as there are, with replacement; how often a picture is drawn is then
nearly Poisson with mean 1, independently of the others (Hanley, MacGibbon. Creating non-parametric bootstrap
samples using Poisson frequencies. Computer Methods and Programs in Biomedicine 83, 2006). So a resample is a
sum with random whole weights, all resamples are added up side by side as the pictures pass, and nothing is
kept of them: the memory is that of R sums, whatever the number of pictures. A picture has the same weights in
every sum, because they follow from its number: differences between two networks are paired.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

LEVEL = 0.95


def poisson_weights(seed: int, index: np.ndarray, resamples: int) -> np.ndarray:
    """How often each resample draws each picture: (R, B) float64; depends on nothing but seed and index."""
    drawn = [np.random.default_rng((seed, int(i))).poisson(1.0, resamples) for i in index]
    return np.stack(drawn, axis=1).astype(np.float64) if drawn else np.zeros((resamples, 0))


class Sums:
    """Sums of what each picture adds: over all pictures, and over each resample.

    Attributes:
        pictures: How many there were.
    """

    def __init__(self) -> None:
        self.pictures = 0
        self._total: Any = None
        self._resampled: Any = None

    def add(self, values: Any, drawn: np.ndarray) -> None:
        """Adds some pictures.

        Args:
            values: A pytree of arrays (B, ...).
            drawn: `poisson_weights` of them, (R, B).
        """
        values = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values)
        total = jax.tree.map(lambda leaf: leaf.sum(axis=0), values)
        resampled = jax.tree.map(lambda leaf: np.tensordot(drawn, leaf, axes=(1, 0)), values)
        self.pictures += drawn.shape[1]
        if self._total is None:
            self._total, self._resampled = total, resampled
            return
        self._total = jax.tree.map(np.add, self._total, total)
        self._resampled = jax.tree.map(np.add, self._resampled, resampled)

    def total(self) -> Any:
        """Over all pictures."""
        return self._total

    def values(self, of: Callable[[Any], Mapping[str, float]]) -> dict[str, np.ndarray]:
        """Numbers made of the sums, by name: (1 + R,), the first of all pictures, then of each resample."""
        resamples = len(jax.tree.leaves(self._resampled)[0])
        each = [self._total] + [
            jax.tree.map(lambda leaf, i=i: leaf[i], self._resampled) for i in range(resamples)
        ]
        found = [of(sums) for sums in each]
        return {name: np.array([float(one[name]) for one in found]) for name in found[0]}


def interval(resampled: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """The percentile interval of resampled numbers (R,); None where there are fewer than 20 finite ones."""
    finite = resampled[np.isfinite(resampled)]
    if len(finite) < 20:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis; those of equal values are their mean."""
    values = np.asarray(values, np.float64)
    below = (values[..., None, :] < values[..., :, None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(axis=-1)
    return below + (equal + 1) / 2


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho of two vectors; NaN where one of them is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm else float("nan")


def rank_correlation_interval(rho: float, n: int) -> tuple[float, float] | None:
    """95 % of Spearman's rho over n pairs, on Fisher's scale with variance (1 + rho^2 / 2) / (n - 3).

    Bonett, Wright. Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
    Psychometrika 65, 2000. None: fewer than 5 pairs, or no rho.
    """
    if n < 5 or not np.isfinite(rho):
        return None
    half = 1.959964 * np.sqrt((1 + rho * rho / 2) / (n - 3))
    middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))
