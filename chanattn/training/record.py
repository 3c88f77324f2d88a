"""What a run has achieved so far: it travels in the checkpoints and ends as the summary."""

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Self

from chanattn import __version__
from chanattn.errors import DamagedCheckpoint
from chanattn.runs.metric import Metric
from chanattn.runs.summary import Summary

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclasses.dataclass
class Record:
    """Results of a run, over all the processes that have continued it.

    Attributes:
        final: metrics of the newest evaluation, by split: "test", and "ema" for the averaged weights.
        per_class: what that evaluation tells of every class, by split, then by name.
        best: by split, the evaluation with the best value of the task's first metric: {"step", "top1", ...}.
        evaluated_step: step of the newest evaluation.
        train_seconds: spent on `train_images`, without compilation, evaluation and saving.
        train_images: images behind `train_seconds`.
        earlier_seconds: wall clock of the processes before this one.
        damaged: checkpoints that were set aside: {"step", "reason"}.
        rollbacks: times that the run went back: {"step", "to"}, a value not finite and the checkpoint.
        phases: seconds spent on what is no step: "compiling", "evaluating", "saving".
        started: when this process began, in seconds of the monotonic clock.
    """

    final: dict[str, dict[str, float | None]] = dataclasses.field(default_factory=dict)
    best: dict[str, dict[str, float | None]] = dataclasses.field(default_factory=dict)
    per_class: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    evaluated_step: int = 0
    train_seconds: float = 0.0
    train_images: int = 0
    earlier_seconds: float = 0.0
    damaged: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    rollbacks: list[dict[str, int]] = dataclasses.field(default_factory=list)
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
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

    @contextlib.contextmanager
    def spending(self, phase: str) -> Iterator[None]:
        """Counts the seconds of a block as those of a phase."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add_seconds(phase, time.monotonic() - start)

    def add_seconds(self, phase: str, seconds: float) -> None:
        """Counts seconds as those of a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    def add_training(self, images: int, rates: Mapping[str, float]) -> None:
        """Counts images that were trained on at the rates that `Progress.update` has measured."""
        if rates:
            self.train_images += images
            self.train_seconds += images / rates["images_per_second"]

    def add_damaged(self, damaged: Iterable[DamagedCheckpoint]) -> None:
        """Notes checkpoints that were found damaged and set aside."""
        self.damaged += [{"step": error.step, "reason": error.reason} for error in damaged]

    def rolled_back(self, progress: Mapping[str, Any], bad_step: int) -> Self:
        """The record of an earlier checkpoint, from which the run goes on, with what has happened since."""
        return dataclasses.replace(
            self.from_progress(progress),
            earlier_seconds=self.earlier_seconds,
            started=self.started,
            damaged=self.damaged,
            phases=self.phases,
            rollbacks=[*self.rollbacks, {"step": bad_step, "to": progress["step"]}],
        )

    def add_evaluation(
        self,
        step: int,
        results: Mapping[str, dict[str, float | None]],
        decides: Metric,
        per_class: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        """Notes the metrics of an evaluation, by split; None where there was nothing to measure.

        Args:
            step: after which it was made.
            results: by split, then by name.
            decides: the metric that says which evaluation is the best.
            per_class: what else it tells, of every class, by split, then by name.
        """
        self.evaluated_step = step
        self.final, self.per_class = dict(results), dict(per_class or {})
        for split, metrics in results.items():
            new, before = metrics[decides.name], self.best.get(split, {}).get(decides.name)
            if new is not None and (before is None or decides.score(new) > decides.score(before)):
                self.best[split] = {"step": step, **metrics}

    def summary(
        self, *, steps: int, batch_size: int, parameters: int, metrics: Sequence[Metric]
    ) -> Summary:
        """What the run has achieved, once all its steps are made."""
        return Summary(
            steps=steps,
            examples=steps * batch_size,
            parameters=parameters,
            final=self.final,
            best=self.best,
            per_class=self.per_class,
            images_per_second=self.train_images / self.train_seconds
            if self.train_seconds
            else None,
            damaged_checkpoints=self.damaged,
            rollbacks=self.rollbacks,
            seconds=round(self.seconds, 3),
            phases={
                name: round(seconds, 3)
                for name, seconds in {"training": self.train_seconds, **self.phases}.items()
            },
            versions={"chanattn": __version__}
            | {name: metadata.version(name) for name in _PACKAGES},
            metrics=tuple(metrics),
        )
