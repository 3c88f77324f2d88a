"""A metric: its name in the files, what people call it, and which way it points."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

SHARE = "%"
"""Unit of a metric that is a share of 1 in the files and is shown in per cent."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a task measures.

    Attributes:
        name: in the files: "top1".
        label: for people: "top-1 accuracy".
        unit: as it is shown: "nats"; "%" for a share of 1; empty for a plain number.
        higher_is_better: which way it points.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The metric that an entry of `"metrics"` describes; without a label it is called by its name."""
        name = str(values["name"])
        return cls(
            name=name,
            label=str(values.get("label") or name),
            unit=str(values.get("unit") or ""),
            higher_is_better=values.get("higher_is_better") is not False,
        )

    def to_json(self) -> dict[str, Any]:
        """An entry of `"metrics"`."""
        return dataclasses.asdict(self)

    def score(self, value: float) -> float:
        """A number that is higher for the better of two values."""
        return value if self.higher_is_better else -value

    @property
    def factor(self) -> float:
        """From the files to what is shown."""
        return 100.0 if self.unit == SHARE else 1.0

    @property
    def digits(self) -> int:
        """Decimals shown."""
        return 2 if self.unit == SHARE else 4

    @property
    def unit_of_differences(self) -> str:
        """Of a difference between two values as they are shown: per cent differ by points."""
        return "points" if self.unit == SHARE else self.unit

    @property
    def heading(self) -> str:
        """For axes and tables: "top-1 accuracy (%)"."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def shown(self, value: float) -> str:
        """A value of the files for people: "98.61%", "0.0421"."""
        return f"{self.factor * value:.{self.digits}f}{SHARE if self.unit == SHARE else ''}"


EARLIER = (
    Metric("top1", "top-1 accuracy", SHARE, True),
    Metric("top5", "top-5 accuracy", SHARE, True),
    Metric("loss", "loss", "nats", False),
)
"""Those of runs that name none: there was classification alone, and its accuracy decided what was best."""


DETAILS = (Metric("expected_calibration_error", "expected calibration error", SHARE, False),)
"""What evaluations gave beside them, after a training."""


def from_list(values: object) -> tuple[Metric, ...]:
    """The metrics of a file, the one that decides first; `EARLIER` where the file names none."""
    return _listed(values) or EARLIER


def details_from_list(values: object) -> tuple[Metric, ...]:
    """The further numbers of a file; `DETAILS` where it has no list of them."""
    return _listed(values) if isinstance(values, list) else DETAILS


def _listed(values: object) -> tuple[Metric, ...]:
    listed = values if isinstance(values, list) else []
    return tuple(
        Metric.from_json(entry) for entry in listed if isinstance(entry, dict) and "name" in entry
    )


def to_list(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """The value of `"metrics"` in a file."""
    return [metric.to_json() for metric in metrics]


def named(metrics: Sequence[Metric], name: str) -> Metric:
    """The metric of that name; a plain number, higher when better, where it is none of them."""
    known = {metric.name: metric for metric in metrics}
    return known.get(name, Metric(name, name, "", True))
