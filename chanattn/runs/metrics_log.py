"""`metrics.jsonl`: one JSON object a line, for each report of the training and each evaluation.

    {"step": 100, "split": "train", "time": 1700000000.0, "loss": 0.5, ...}

`split` is "train", "test", or "ema" for the moving averages of the weights on the same examples as "test";
`time` is in Unix seconds. A value that is not finite is null: JSON has no name for it.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from chanattn.errors import UsageError
from chanattn.runs.json_object import number
from chanattn.runs.layout import METRICS

TRAIN, TEST, AVERAGES = "train", "test", "ema"
_TAIL = 16_384  # bytes of the file's end that `newest_lines` reads

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the log.

    Attributes:
        step: after which it was measured.
        split: on what.
        values: by name; `time` among them.
    """

    step: int
    split: str
    values: Mapping[str, Any]

    @classmethod
    def from_json(cls, values: object) -> Self:
        """The line that an object stands for.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(values, dict):
            raise ValueError("a line is an object")
        rest = dict(values)
        step, split = rest.pop("step", None), rest.pop("split", None)
        if not isinstance(step, int) or not isinstance(split, str):
            raise ValueError("a line has a step and a split")
        return cls(step, split, rest)

    def to_json(self) -> dict[str, Any]:
        """The object that stands for it."""
        return {"step": self.step, "split": self.split, **self.values}

    def value(self, name: str) -> float | None:
        """A finite number of the line; None if the name is unknown."""
        return number(self.values.get(name))


def read_lines(workdir: str | os.PathLike[str]) -> list[Line]:
    """The lines of a run, without a last one that a killed process left unfinished; none without a file.

    Raises:
        UsageError: another line is damaged.
    """
    path = Path(workdir) / METRICS
    if not path.exists():
        return []
    found = []
    # Behind the last break lies the unfinished one.
    for position, text in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        line = _parsed(text)
        if line is None:
            raise UsageError(
                f"{path}, line {position} is damaged: {text[:40]!r}; remove the line, whose figures are lost"
            )
        found.append(line)
    return found


def read_metrics(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """As `read_lines`, each line as the object that the file holds."""
    return [line.to_json() for line in read_lines(workdir)]


def readable_lines(workdir: str | os.PathLike[str]) -> list[Line]:
    """The lines of a run that can be read, for those who only show them; none without a file."""
    try:
        content = (Path(workdir) / METRICS).read_bytes()
    except OSError:
        return []
    return _readable(content)


def newest_lines(workdir: str | os.PathLike[str]) -> list[Line]:
    """The last of the readable lines, at the same small cost however long the log is."""
    path = Path(workdir) / METRICS
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return _readable(file.read())  # the first line may be cut
    except OSError:
        return []


def curve(lines: Iterable[Line], split: str, name: str) -> dict[int, float]:
    """{step: value} of a metric on a split, without values that are not finite."""
    values = {line.step: line.value(name) for line in lines if line.split == split}
    return {step: value for step, value in values.items() if value is not None}


def deciding(results: Mapping[str, _Result]) -> _Result | None:
    """Of what there is by split, that by which a run is judged: of the averaged weights where it has them."""
    return results.get(AVERAGES, results.get(TEST))


def deciding_curve(lines: Iterable[Line], name: str) -> dict[int, float]:
    """{step: value} of a metric at the evaluations by which a run is judged, see `deciding`."""
    listed = list(lines)
    return curve(listed, AVERAGES, name) or curve(listed, TEST, name)


def _readable(content: bytes) -> list[Line]:
    parsed = (_parsed(text) for text in content.split(b"\n"))
    return [line for line in parsed if line is not None]


def _parsed(text: bytes) -> Line | None:
    try:
        return Line.from_json(json.loads(text))
    except (ValueError, RecursionError):
        return None
