"""What a run has achieved so far: it travels in the checkpoints and ends as the summary."""

import dataclasses
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Self

from chanattn import __version__

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclasses.dataclass
class Record:
    """Results of a run, over all the processes that have continued it.

    Attributes:
        final: metrics of the newest evaluation, by split: "test", and "ema" for the averaged weights.
        best: by split, the evaluation with the highest top-1 accuracy: {"step", "top1", ...}.
        evaluated_step: step of the newest evaluation.
        train_seconds: spent on `train_images`, without compilation, evaluation and saving.
        train_images: images behind `train_seconds`.
        earlier_seconds: wall clock of the processes before this one.
        started: when this process began, in seconds of the monotonic clock.
    """

    final: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    best: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    evaluated_step: int = 0
    train_seconds: float = 0.0
    train_images: int = 0
    earlier_seconds: float = 0.0
    started: float = dataclasses.field(default_factory=time.monotonic)

    @classmethod
    def from_progress(cls, progress: Mapping[str, Any]) -> Self:
        """The record that a checkpoint holds, continued by this process."""
        return cls(**progress["record"])

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        values = dataclasses.asdict(self) | {"earlier_seconds": self.seconds}
        del values["started"]
        return values

    @property
    def seconds(self) -> float:
        """Wall clock of the whole run so far."""
        return self.earlier_seconds + time.monotonic() - self.started

    def add_training(self, images: int, rates: Mapping[str, float]) -> None:
        """Counts images that were trained on at the rates that `Progress.update` has measured."""
        if rates:
            self.train_images += images
            self.train_seconds += images / rates["images_per_second"]

    def add_evaluation(self, step: int, results: Mapping[str, dict[str, float]]) -> None:
        """Notes the metrics of an evaluation, by split."""
        self.evaluated_step = step
        self.final = dict(results)
        for split, metrics in results.items():
            if split not in self.best or metrics["top1"] > self.best[split]["top1"]:
                self.best[split] = {"step": step, **metrics}

    def summary(self, *, steps: int, batch_size: int, parameters: int) -> dict[str, Any]:
        """The content of `summary.json`."""
        rate = self.train_images / self.train_seconds if self.train_seconds else None
        return {
            "steps": steps,
            "examples": steps * batch_size,
            "parameters": parameters,
            "final": self.final,
            "best": self.best,
            "images_per_second": rate,
            "seconds": round(self.seconds, 3),
            "versions": {"chanattn": __version__}
            | {name: metadata.version(name) for name in _PACKAGES},
        }
