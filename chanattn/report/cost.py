"""`cost.json`: what a variant costs, as measured by `chanattn.analysis`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.report.files import Damaged, number, read_json

MEASURED = ("train_images_per_s", "infer_latency_ms", "infer_images_per_s")
"""The fields of `Cost` that have a spread."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A time or rate.

    Attributes:
        median: over the repetitions.
        low: lower end of their spread; None if unknown.
        high: upper end.
    """

    median: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a variant; None is unknown.

    Attributes:
        parameters: trained numbers.
        macs: multiply-accumulates of a forward pass for one image.
        train_images_per_s: training step.
        infer_images_per_s: forward pass at the batch size.
        infer_latency_ms: forward pass of one image, milliseconds.
        peak_memory_bytes: of the training step on the device.
        batch_size: of the rates.
    """

    parameters: float | None = None
    macs: float | None = None
    train_images_per_s: Measured | None = None
    infer_images_per_s: Measured | None = None
    infer_latency_ms: Measured | None = None
    peak_memory_bytes: float | None = None
    batch_size: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The cost that an entry of `cost.json` tells; what it does not tell is None."""
        return cls(
            parameters=number(values.get("parameters")),
            macs=number(values.get("macs")),
            train_images_per_s=_measured(values.get("train_images_per_s")),
            infer_images_per_s=_measured(values.get("infer_images_per_s")),
            infer_latency_ms=_measured(values.get("infer_latency_ms")),
            peak_memory_bytes=number(values.get("peak_memory_bytes")),
            batch_size=number(values.get("batch_size")),
        )

    def middle(self, field: str) -> float | None:
        """The value of a field; of a time or rate the median."""
        value = getattr(self, field)
        return value.median if isinstance(value, Measured) else value


def read_costs(path: Path, problems: list[str]) -> tuple[dict[str, Cost], dict[str, Any]]:
    """Costs by variant, and the rest of the file; both are empty where there is none.

    A damaged file is noted in `problems`: a table without costs is better than none.
    """
    try:
        values = read_json(path)
    except Damaged as error:
        problems.append(str(error))
        return {}, {}
    if values is None:
        return {}, {}
    variants = values.pop("variants", None)
    if not isinstance(variants, dict):
        problems.append(f"{path} is damaged: it has no variants")
        return {}, {}
    costs = {
        name: Cost.from_json(cost) for name, cost in variants.items() if isinstance(cost, dict)
    }
    return costs, values


def _measured(value: object) -> Measured | None:
    if isinstance(value, dict):
        median = number(value.get("median"))
        if median is not None:
            return Measured(median, number(value.get("low")), number(value.get("high")))
    return None
