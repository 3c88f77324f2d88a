"""The result of one network, or of one intervention, over all pictures, with its bootstrap."""

from typing import Any

import jax
import numpy as np

from chanattn.inspect.resampling import Sums
from chanattn.inspect.score import Score

#: Resamples of a number that is made of answers: each computes it anew, which takes a while.
RESAMPLES_OF_ANSWERS = 25


class Scored:
    """What a score is made of, as pictures pass: sums, and answers where it is made of them.

    Args:
        score: What is wanted.
        resampled: Whether there is an interval for a number that is made of answers.
    """

    def __init__(self, score: Score, *, resampled: bool = True) -> None:
        self._score, self._resampled = score, resampled
        self._sums = Sums()
        self._answers: list[Any] = []
        self._drawn: list[np.ndarray] = []

    def add(self, measured: Any, answers: Any, drawn: np.ndarray) -> None:
        """Adds some pictures.

        Args:
            measured: What `Score.measure` gives, arrays (B, ...) on the host.
            answers: What `Answers.answer` gives, likewise; None where there are none.
            drawn: `resampling.poisson_weights` of them, (R, B).
        """
        self._sums.add(measured, drawn)
        if answers is not None:
            self._answers.append(answers)
            self._drawn.append(drawn[:RESAMPLES_OF_ANSWERS].astype(int))

    def values(self) -> dict[str, np.ndarray]:
        """Numbers by name, each (1 + R,): of all pictures, and of each resample or NaN."""
        summed = self._sums.values(self._score.values)
        if self._score.answers is None or not self._answers:
            return summed
        value = self._score.answers.value
        answers = jax.tree.map(lambda *parts: np.concatenate(parts), *self._answers)
        found = np.full(len(next(iter(summed.values()))), np.nan)
        found[0] = value(answers)
        if self._resampled:
            for r, counts in enumerate(np.concatenate(self._drawn, axis=1), start=1):
                rows = np.repeat(np.arange(len(counts)), counts)
                found[r] = value(jax.tree.map(lambda leaf, rows=rows: leaf[rows], answers))
        return {self._score.name: found, **summed}
