"""`failed.json`: why a sweep has given up a run; `output.log`: what the run has printed."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs.json_object import read_json
from chanattn.runs.layout import FAILED, OUTPUT

_TAIL = 16_384  # bytes of the output's end that are read
_LAST_LINES = 8


@dataclasses.dataclass(frozen=True)
class Failure:
    """The end of a run that is not tried again unless it is asked for.

    Attributes:
        code: exit code; None if the worker vanished.
        detail: what is known beside the code, as "killed by SIGKILL"; may be empty.
        last_lines: that the run has printed.
        time: when.
    """

    code: int | None = None
    detail: str = ""
    last_lines: tuple[str, ...] = ()
    time: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What a file tells."""
        code, lines = values.get("code"), values.get("last_lines")
        return cls(
            code=code if isinstance(code, int) else None,
            detail=str(values.get("detail") or ""),
            last_lines=tuple(map(str, lines)) if isinstance(lines, list) else (),
            time=str(values.get("time") or ""),
        )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """That of a run directory; None if the run has not failed.

        Raises:
            Damaged: the file cannot be read.
        """
        values = read_json(directory / FAILED)
        return None if values is None else cls.from_json(values)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "code": self.code,
            "detail": self.detail,
            "time": self.time,
            "last_lines": list(self.last_lines),
        }

    def write(self, directory: Path) -> None:
        """Writes it into a run directory, made if absent, atomically."""
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / FAILED, self.to_json())

    @property
    def what(self) -> str:
        """In a few words: `exit code 1`, `killed by SIGKILL`."""
        return self.detail or f"exit code {self.code}"

    @property
    def reason(self) -> str:
        """The last line that the run has printed, or what its launcher says."""
        return self.last_lines[-1] if self.last_lines else self.what


def last_lines(directory: Path) -> tuple[str, ...]:
    """The end of what a run has printed, without blank lines."""
    path = directory / OUTPUT
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple([line.rstrip() for line in text.splitlines() if line.strip()][-_LAST_LINES:])
