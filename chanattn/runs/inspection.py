"""`inspection/inspection.json`: what the attention of one checkpoint does (docs/inspection.md)."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_text
from chanattn.runs import FORMAT
from chanattn.runs.json_object import number, read_json
from chanattn.runs.layout import INSPECTION, INSPECTION_NUMBERS

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Difference:
    """What replacing weights does to a metric.

    Attributes:
        value: with replaced weights minus without.
        low: lower end of its interval; None: there is none.
        high: upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Inspection:
    """An inspection.

    Attributes:
        values: all of the file.
    """

    values: Mapping[str, Any]

    @classmethod
    def read(cls, run: Path) -> Self | None:
        """That of a run directory; None if there is none.

        Raises:
            Damaged: the file cannot be read, or is of a later format.
        """
        values = read_json(run / INSPECTION / INSPECTION_NUMBERS, FORMAT)
        return None if values is None else cls(values)

    def write(self, run: Path) -> Path:
        """Writes it atomically; the folder is made if absent."""
        path = run / INSPECTION / INSPECTION_NUMBERS
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not indented: tables of classes and channels would have a line for each number.
        text = json.dumps(_rounded({"format": FORMAT, **self.values}), allow_nan=False)
        write_text(path, text + "\n")
        return path

    def metric(self) -> str:
        """Name of the number that decides."""
        return str(_within(self.values, "score", "name") or "")

    def replaced(self, kind: str) -> Difference | None:
        """What the deciding number loses with the weights of all modules replaced; None if not measured."""
        by_target = _within(self.values, "input_matters", "replaced", kind) or {}
        # Of a single module there is no "all".
        target = by_target.get(ALL) or (
            next(iter(by_target.values())) if len(by_target) == 1 else {}
        )
        found = target.get(self.metric()) or {}
        value = number(found.get("difference"))
        if value is None:
            return None
        low, high = found.get("difference_interval") or (None, None)
        return Difference(value, number(low), number(high))


def _rounded(value: Any) -> Any:
    """Numbers with six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return list(map(_rounded, value)) if isinstance(value, list | tuple) else value


def _within(values: Any, *path: str) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
