"""`sweep.json`: what a sweep compares, and what has been asked for."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs.json_object import Damaged, check_format, read_json, take
from chanattn.runs.layout import INDEX, RUNS
from chanattn.runs.published import Published

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        directory: its folder among the jobs and the runs.
        overrides: dotted config paths to values.
        wanted: the seeds that have ever been asked for; sweeps that have no such field asked for all.
    """

    directory: str
    overrides: Mapping[str, Any]
    wanted: tuple[int, ...]

    def runs(self, sweep: Path) -> dict[int, Path]:
        """The run directories by seed."""
        return {seed: sweep / RUNS / self.directory / f"seed{seed}" for seed in self.wanted}


@dataclasses.dataclass(frozen=True)
class SweepRecord:
    """The index of a sweep.

    Attributes:
        name: of the sweep file.
        title: a headline.
        note: what the table asks; empty where the file has none.
        config: the sweep file with its argument; likewise.
        baseline: the variant that the others are compared with.
        seeds: all that any variant has been asked for.
        variants: by name, in the order of the sweep file.
        published: figures of papers.
        how: command, versions, git revision, time.
    """

    name: str
    title: str
    note: str
    config: str
    baseline: str
    seeds: tuple[int, ...]
    variants: Mapping[str, Variant]
    published: tuple[Published, ...]
    how: Mapping[str, Any]

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path) -> Self:
        """The index that a file holds.

        Args:
            values: its content.
            path: for the messages.

        Raises:
            Damaged: a field is missing, or is not what it should be; or it is of another format.
        """
        check_format({"format": None, **values}, FORMAT, path)
        seeds = take(values, "seeds", list, path)
        if not seeds or not all(isinstance(s, int) and not isinstance(s, bool) for s in seeds):
            raise Damaged(f"{path} is damaged: seeds must be whole numbers, at least one")
        baseline = take(values, "baseline", str, path)
        listed = take(values, "variants", dict, path)
        if baseline not in listed:
            raise Damaged(f"{path} is damaged: its baseline {baseline!r} is not among its variants")
        how = values.get("how")
        return cls(
            name=take(values, "name", str, path),
            title=take(values, "title", str, path),
            note=str(values.get("note", "")),
            config=str(values.get("config", "")),
            baseline=baseline,
            seeds=tuple(seeds),
            variants={name: _variant(listed, name, seeds, path) for name in listed},
            published=tuple(
                Published.from_json(entry, path)
                for entry in take({"published": [], **values}, "published", list, path)
            ),
            how=how if isinstance(how, dict) else {},
        )

    @classmethod
    def read(cls, sweep: Path) -> Self | None:
        """The index of a sweep; None if the folder has none.

        Raises:
            Damaged: as `from_json`, or the file cannot be read.
        """
        values = read_json(sweep / INDEX)
        return None if values is None else cls.from_json(values, sweep / INDEX)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "format": FORMAT,
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "config": self.config,
            "baseline": self.baseline,
            "seeds": list(self.seeds),
            "variants": {
                name: {
                    "directory": variant.directory,
                    "overrides": dict(variant.overrides),
                    "wanted": list(variant.wanted),
                }
                for name, variant in self.variants.items()
            },
            "published": [figures.to_json() for figures in self.published],
            "how": dict(self.how),
        }

    def write(self, sweep: Path) -> None:
        """Writes it into the folder of the sweep, which is made if absent, atomically."""
        sweep.mkdir(parents=True, exist_ok=True)
        write_json(sweep / INDEX, self.to_json())


def _variant(listed: dict[str, Any], name: str, seeds: list[int], path: Path) -> Variant:
    where = f"variants.{name}."
    entry = take(listed, name, dict, path, "variants.")
    directory = take(entry, "directory", str, path, where)
    if directory in ("", ".", "..") or "/" in directory or "\\" in directory or "\0" in directory:
        raise Damaged(f"{path} is damaged: {where}directory is {directory!r}, not a folder's name")
    wanted = take({"wanted": seeds, **entry}, "wanted", list, path, where)
    if not all(seed in seeds for seed in wanted):
        raise Damaged(f"{path} is damaged: {where}wanted names seeds that the sweep does not have")
    in_order = tuple(seed for seed in seeds if seed in wanted)
    return Variant(directory, take(entry, "overrides", dict, path, where), in_order)
