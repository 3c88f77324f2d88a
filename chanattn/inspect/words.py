"""Word by word: the weights that a decoder of captions has before each word, by the word that follows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chanattn.inspect.network import CHANNELS, Batch, Site

_MOST = 60
"""Words that are told, the most frequent ones."""


@dataclass(frozen=True)
class Words:
    """The words of captions.

    Attributes:
        names: In the order of their numbers.
        of: The numbers of the words of a batch, (B, T); -1 where there is none.
    """

    names: tuple[str, ...]
    of: Callable[[Batch], np.ndarray]

    def follow(self, site: Site, length: int) -> bool:
        """Whether a site has weights of channels before each of so many words, (T, C)."""
        return site.kind == CHANNELS and len(site.shape) == 2 and site.shape[0] == length


class WordMeans:
    """Mean weights of channels by word, added up as batches pass."""

    def __init__(self, site: Site, words: int) -> None:
        channels = site.shape[-1]
        self._counts, self._sums = np.zeros(words), np.zeros((words, channels))
        self._squares = np.zeros(channels)

    def add(self, weights: np.ndarray, words: np.ndarray, mask: np.ndarray) -> None:
        """Adds weights (B, T, C) before words (B, T), -1 for none, of the pictures with mask 1."""
        there = (np.asarray(words) >= 0) & (np.asarray(mask) > 0)[:, None]
        w, number = np.asarray(weights, np.float64)[there], np.asarray(words)[there]
        np.add.at(self._counts, number, 1)
        np.add.at(self._sums, number, w)
        self._squares += (w**2).sum(axis=0)

    def summary(self, names: tuple[str, ...], units: list[int]) -> dict[str, Any]:
        """Of the most frequent words: their means of some channels; JSON values.

        `share` is that of the variance over all words, added up over the channels, which lies between words,
        and `chance` what it is expected to be of weights that know nothing of the word.
        """
        total = self._counts.sum()
        seen = self._counts > 0
        mean = self._sums.sum(axis=0) / max(total, 1)
        means = self._sums[seen] / self._counts[seen, None]
        between = (self._counts[seen, None] * (means - mean) ** 2).sum()
        variance = (self._squares - total * mean**2).sum()
        best = np.argsort(-self._counts, kind="stable")[:_MOST]
        best = best[self._counts[best] > 0]
        moving = variance > 1e-10 * max(self._squares.sum(), 1e-30)
        return {
            "words": [names[number] for number in best],
            "counts": self._counts[best].tolist(),
            "units": units,
            "means": (self._sums[best] / self._counts[best, None])[:, units].tolist(),
            "share": float(between / variance) if moving else None,
            "chance": float((seen.sum() - 1) / (total - 1)) if total > 1 else None,
        }
