"""Which checkpoints of a run stay."""

import dataclasses
from collections.abc import Collection, Mapping

from ml_collections import ConfigDict

from chanattn.training import nonfinite


@dataclasses.dataclass(frozen=True)
class Retention:
    """A checkpoint stays if any of these rules wants it; the newest one always does.

    Attributes:
        newest: how many of the newest stay; at least 1.
        best: how many with the highest scores stay; of equal ones the earlier.
        every: multiples of this step stay; 0: none for that.
        anchor: the newest multiple of this step stays; 0: none for that. A run that rolls back needs the
            newest checkpoint that an uninterrupted run would have made as well.
    """

    newest: int = 1
    best: int = 0
    every: int = 0
    anchor: int = 0

    def kept(self, steps: Collection[int], scores: Mapping[int, float]) -> set[int]:
        """The steps that stay, of those that exist.

        Args:
            steps: of the checkpoints.
            scores: of the steps that were evaluated; higher is better.
        """
        stay = set(sorted(steps)[-self.newest :])
        stay |= set(ranked(steps, scores)[: self.best])
        if self.every:
            stay |= {step for step in steps if step % self.every == 0}
        if self.anchor:
            stay |= set(sorted(step for step in steps if step % self.anchor == 0)[-1:])
        return stay


def retention(config: ConfigDict, save_every: int) -> Retention:
    """What a run asks for.

    Args:
        config: the whole config.
        save_every: steps between two of its regular checkpoints.
    """
    kept, rolls_back = config.checkpoint, config.nonfinite.policy == nonfinite.ROLLBACK
    return Retention(kept.keep, kept.keep_best, kept.keep_every, save_every if rolls_back else 0)


def ranked(steps: Collection[int], scores: Mapping[int, float]) -> list[int]:
    """The steps that have a score, the best first; of equal ones the earlier first."""
    return sorted(set(steps) & set(scores), key=lambda step: (-scores[step], step))
