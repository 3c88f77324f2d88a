"""`summary.json`: what a run has achieved. Its presence means that the run is done."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs import FORMAT
from chanattn.runs.json_object import known_fields, number, read_json
from chanattn.runs.layout import SUMMARY
from chanattn.runs.metric import EARLIER, Metric, from_list, to_list

Results = Mapping[str, Mapping[str, Any]]
"""Values of metrics by split: {"test": {"top1": 0.98, ...}, "ema": ...}; None where nothing was measured."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of a run. What a file lacks is None or empty.

    Attributes:
        steps: made.
        examples: trained on, repetitions counted.
        parameters: of the network, those that `optimizer.freeze` keeps from learning too.
        final: the newest evaluation, by split.
        best: by split, the evaluation with the best value of the first metric, with its `step`.
        per_class: what the newest evaluation tells of every class, by split, then by name; earlier runs keep
            none (`chanattn.runs.per_class`).
        images_per_second: of the training, without compilation, evaluation and saving.
        damaged_checkpoints: that were set aside: {"step", "reason"}.
        rollbacks: times that the run went back: {"step", "to"}.
        seconds: wall clock over all processes that have continued the run.
        phases: seconds of that by what they were spent on: training, compiling, evaluating, saving.
        versions: of chanattn and of what numbers depend on.
        metrics: of the task, the one that decides what is best first; format 1 names none: `EARLIER`.
    """

    steps: int | None = None
    examples: int | None = None
    parameters: int | None = None
    final: Results = dataclasses.field(default_factory=dict)
    best: Results = dataclasses.field(default_factory=dict)
    per_class: Results = dataclasses.field(default_factory=dict)
    images_per_second: float | None = None
    damaged_checkpoints: Sequence[Mapping[str, Any]] = ()
    rollbacks: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    phases: Mapping[str, float] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metrics: tuple[Metric, ...] = EARLIER

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What a file of any version tells; fields that this version does not know are left out."""
        told = known_fields(cls, values)
        for name in ("final", "best", "per_class"):
            told[name] = _results(told.get(name))
        for name in ("steps", "examples", "parameters", "seconds", "images_per_second"):
            told[name] = told[name] if number(told.get(name)) is not None else None
        phases = told.get("phases")
        told["phases"] = {
            name: seconds
            for name, seconds in (phases.items() if isinstance(phases, dict) else ())
            if number(seconds) is not None
        }
        return cls(**told | {"metrics": from_list(values.get("metrics"))})

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """That of a run directory; None if the run is not done.

        Raises:
            Damaged: the file cannot be read, or is of a later format.
        """
        values = read_json(directory / SUMMARY, FORMAT)
        return None if values is None else cls.from_json(values)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "metrics"]
        told = {name: getattr(self, name) for name in names}
        return {"format": FORMAT, **told, "metrics": to_list(self.metrics)}

    def write(self, directory: Path) -> None:
        """Writes it into a run directory, atomically."""
        write_json(directory / SUMMARY, self.to_json())

    def value(self, split: str, name: str) -> float | None:
        """The final value of a metric; None where there is none, or none that is finite."""
        return number(self.final.get(split, {}).get(name))


def is_done(directory: Path) -> bool:
    """Whether a run has ended well."""
    return (directory / SUMMARY).exists()


def _results(values: object) -> Results:
    if not isinstance(values, dict):
        return {}
    return {split: found for split, found in values.items() if isinstance(found, dict)}
