"""`evaluation/<name>.json`: what one checkpoint, or weights from elsewhere, achieve on one split."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs import FORMAT
from chanattn.runs.json_object import Damaged, number, read_json
from chanattn.runs.metric import DETAILS, EARLIER, Metric, details_from_list, from_list, to_list

#: What `how` names where answers on several views of a picture were averaged.
VIEWS = frozenset(("flip", "scales", "window"))


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation. What a file lacks is None or empty.

    Attributes:
        run: the run directory; None for weights from elsewhere.
        step: of the checkpoint.
        file: of the weights that belong to no run, with the network that they are read into:
        model: its architecture,
        attention: and its mechanism.
        weights: "raw", "ema" or "imported".
        classes_compared: whether the classes were compared with those that the weights were trained on.
        dataset: name of the data set.
        split: of it.
        examples: that were measured.
        results: of the task: the values of its metrics, and whatever else it measures, by name.
        corrupt_examples: that could not be read, and were left out.
        images_per_second: of reading, preparing and predicting.
        how: command, devices, versions.
        class_names: in the order of the labels; format 1 has them as the keys of `per_class_accuracy` alone.
        metrics: of the task, the one that decides what is best first; format 1 names none: `EARLIER`.
        details: further numbers, which a training does not measure; format 1 names none: `DETAILS`.
    """

    run: str | None = None
    step: int | None = None
    file: str | None = None
    model: str | None = None
    attention: str | None = None
    weights: str | None = None
    classes_compared: bool = False
    dataset: str = ""
    split: str = ""
    examples: int | None = None
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    corrupt_examples: int = 0
    images_per_second: float | None = None
    how: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = EARLIER
    details: tuple[Metric, ...] = DETAILS

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What a file of any version tells; `results` are the fields that have no place of their own."""
        known = {field.name for field in dataclasses.fields(cls)} - {"results"}
        results = {n: value for n, value in values.items() if n not in known | {"format"}}
        told = {name: value for name, value in values.items() if name in known}
        per_class = results.get("per_class_accuracy")
        names = told.get("class_names") or (per_class if isinstance(per_class, dict) else ())
        told |= {"class_names": tuple(names), "metrics": from_list(told.get("metrics"))}
        told["details"] = details_from_list(told.get("details"))
        return cls(**told, results=results)

    @classmethod
    def read(cls, path: Path) -> Self:
        """An evaluation that was written.

        Raises:
            Damaged: the file is absent, cannot be read, or is of a later format.
        """
        values = read_json(path, FORMAT)
        if values is None:
            raise Damaged(f"there is no {path}")
        return cls.from_json(values)

    def to_json(self) -> dict[str, Any]:
        """The content of the file, without fields that are None; a result may be None."""
        told: dict[str, Any] = {"format": FORMAT}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "results":
                told |= value
            elif value is not None:
                told[field.name] = value
        told["class_names"], told["metrics"] = list(self.class_names), to_list(self.metrics)
        told["details"] = to_list(self.details)
        return told

    def write(self, path: Path) -> None:
        """Writes it atomically; the folder is made if absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())

    def title(self) -> str:
        """For a picture: "se: digits test, top-1 accuracy 98.61%"."""
        of = Path(self.run).resolve().name if self.run is not None else Path(self.file or "").stem
        main = self.metrics[0]
        value = number(self.results.get(main.name))
        result = "" if value is None else f", {main.label} {main.shown(value)}"
        return f"{of}: {self.dataset} {self.split}{result}"

    def confusion(self) -> Sequence[Sequence[int]] | None:
        """Counts by true class, then predicted class; None if the task does not count them."""
        matrix: Sequence[Sequence[int]] | None = self.results.get("confusion_matrix")
        return matrix

    def confusion_names(self) -> tuple[str, ...]:
        """Of its rows and columns: the classes, and background behind them where a task counts that."""
        return tuple(self.results.get("confusion_names", self.class_names))
