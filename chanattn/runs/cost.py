"""`cost.json`: what the variants of a sweep cost, as `chanattn.analysis.cost` has measured it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs.json_object import Damaged, check_format, number, read_json
from chanattn.runs.layout import COST

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Measured:
    """A time or rate.

    Attributes:
        median: over the rounds.
        low: lowest of them; None if unknown.
        high: highest.
        rounds: all of them.
    """

    median: float
    low: float | None = None
    high: float | None = None
    rounds: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, values: object) -> Self | None:
        """What an object tells; None if it is none or tells no median."""
        if not isinstance(values, dict):
            return None
        median, rounds = number(values.get("median")), values.get("rounds")
        if median is None:
            return None
        return cls(
            median=median,
            low=number(values.get("low")),
            high=number(values.get("high")),
            rounds=tuple(rounds) if isinstance(rounds, list) else (),
        )

    def to_json(self) -> dict[str, Any]:
        """The object that stands for it."""
        return dataclasses.asdict(self) | {"rounds": list(self.rounds)}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a variant; None is unknown.

    Attributes:
        parameters: trained numbers.
        macs: multiply-accumulates of a forward pass for one image.
        elementwise: products of it that are no MACs.
        attention: the share of the mechanisms in these three, by name.
        batch_size: of the training step and of the rates.
        precision: type of the activations.
        image_shape: (H, W, 3).
        num_classes: of the network.
        train_step_ms: training step.
        train_images_per_s: the same as a rate.
        infer_ms: forward pass at the batch size.
        infer_images_per_s: the same as a rate.
        infer_latency_ms: forward pass of one image on one device.
        devices: how many, or which.
        kernels: what computes convolutions on a CPU.
        peak_memory_bytes: of the training step on the device.
    """

    parameters: float | None = None
    macs: float | None = None
    elementwise: float | None = None
    attention: Mapping[str, Any] | None = None
    batch_size: float | None = None
    precision: str | None = None
    image_shape: Sequence[int] | None = None
    num_classes: int | None = None
    train_step_ms: Measured | None = None
    train_images_per_s: Measured | None = None
    infer_ms: Measured | None = None
    infer_images_per_s: Measured | None = None
    infer_latency_ms: Measured | None = None
    devices: Any = None
    kernels: str | None = None
    peak_memory_bytes: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The cost that an entry tells; what it does not tell, or not as a finite number, is None."""
        told = {n: values.get(n) for n in (field.name for field in dataclasses.fields(cls))}
        for name in ("parameters", "macs", "elementwise", "batch_size", "peak_memory_bytes"):
            told[name] = told[name] if number(told[name]) is not None else None
        for name in TIMES:
            told[name] = Measured.from_json(told[name])
        return cls(**told)

    def to_json(self) -> dict[str, Any]:
        """The entry that stands for it."""
        return {
            field.name: value.to_json() if isinstance(value, Measured) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    def middle(self, field: str) -> float | None:
        """The value of a field; of a time or rate the median."""
        value: float | Measured | None = getattr(self, field)
        return value.median if isinstance(value, Measured) else value


TIMES = (
    *("train_step_ms", "train_images_per_s"),
    *("infer_ms", "infer_images_per_s", "infer_latency_ms"),
)
"""The fields of `Cost` that have a spread."""


@dataclasses.dataclass(frozen=True)
class Costs:
    """The cost of every variant that was measured, side by side.

    Attributes:
        variants: by name.
        hardware: that they were measured on.
        how: command, versions, rounds.
        conventions: what counts as a MAC, and what as memory.
    """

    variants: Mapping[str, Cost]
    hardware: Any = None
    how: Any = None
    conventions: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any], path: Path = Path(COST)) -> Self:
        """What a file tells.

        Args:
            values: its content.
            path: for the message.

        Raises:
            Damaged: there are no variants, or it is of a later format.
        """
        check_format(values, FORMAT, path)
        variants = values.get("variants")
        if not isinstance(variants, dict):
            raise Damaged(f"{path} is damaged: it has no variants")
        costs = {n: Cost.from_json(each) for n, each in variants.items() if isinstance(each, dict)}
        conventions = values.get("conventions")
        return cls(
            variants=costs,
            hardware=values.get("hardware"),
            how=values.get("how"),
            conventions=conventions if isinstance(conventions, str) else "",
        )

    @classmethod
    def read(cls, sweep: Path) -> Self | None:
        """The costs of a sweep; None if nobody has measured them.

        Raises:
            Damaged: the file cannot be read.
        """
        values = read_json(sweep / COST)
        return None if values is None else cls.from_json(values, sweep / COST)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "format": FORMAT,
            "hardware": self.hardware,
            "how": self.how,
            "conventions": self.conventions,
            "variants": {name: cost.to_json() for name, cost in self.variants.items()},
        }

    def write(self, sweep: Path) -> None:
        """Writes it into the folder of a sweep, atomically."""
        write_json(sweep / COST, self.to_json())
