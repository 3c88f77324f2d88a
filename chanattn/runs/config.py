"""`config.json`: every field of a run's config."""

import copy
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.config import FIELDS, add_later_fields
from chanattn.fields import flatten
from chanattn.files import write_text
from chanattn.runs.json_object import read_json
from chanattn.runs.layout import CONFIG


@dataclasses.dataclass(frozen=True)
class Config:
    """The config of a run, as plain values; `chanattn.training.config` makes a `ConfigDict` of it.

    Attributes:
        values: nested; with the fields that came later than the file. Lists may have been tuples.
        added: the paths of those fields.
    """

    values: Mapping[str, Any]
    added: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """A config that any version has written."""
        complete = copy.deepcopy(dict(values))
        return cls(complete, frozenset(add_later_fields(complete)))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """As `from_json`, from the text of the file.

        Raises:
            ValueError: it is not JSON of an object.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("a config is a JSON object")
        return cls.from_json(values)

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The config of a run directory; None if it has none.

        Raises:
            Damaged: the file cannot be read.
        """
        values = read_json(directory / CONFIG)
        return None if values is None else cls.from_json(values)

    def missing(self) -> list[str]:
        """The fields that every config has had, in whatever version, and this one lacks."""
        there = self.fields()
        return [path for path in FIELDS if path not in there]

    def to_text(self) -> str:
        """Indented JSON."""
        return json.dumps(self.values, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Writes it atomically: `RUN/config.json`, or the config of a job of a sweep."""
        write_text(path, self.to_text())

    def fields(self) -> dict[str, Any]:
        """Every field by its dotted path."""
        return flatten(self.values)
