"""A sweep directory as typed values: `sweep.json`, its runs, and the cost of its variants."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chanattn.errors import UsageError
from chanattn.report.cost import Cost, read_costs
from chanattn.report.files import Damaged, number, read_json, take
from chanattn.report.run import DONE, Run

FORMAT = 1

Figure = tuple[float, float | None]
"""A published value and its standard deviation, if the paper gives one."""


@dataclasses.dataclass(frozen=True)
class Published:
    """Figures of a paper for some variants; as `Published` of a sweep file."""

    source: str
    setting: str
    metric: str
    higher_is_better: bool
    note: str
    values: Mapping[str, Figure]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row.

    Attributes:
        name: as the sweep file spells it; any text.
        overrides: dotted config paths to values.
        runs: one a seed, in the order of the sweep's seeds.
        cost: from `cost.json`; empty where that does not know the variant.
    """

    name: str
    overrides: Mapping[str, Any]
    runs: tuple[Run, ...]
    cost: Cost


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep directory.

    Attributes:
        folder: where it lies.
        name: of the sweep file.
        title: a headline.
        note: what the table asks.
        config: the sweep file with its argument.
        baseline: the variant that the others are compared with.
        seeds: all that are planned.
        variants: in the order of the sweep file; those that nobody has asked for are left out, but for the
            baseline.
        left_out: the names of those.
        published: figures of papers.
        how: command, versions, git revision, time.
        cost_notes: hardware, conventions and how of `cost.json`; empty without one.
        problems: damaged files beside the results, one line each; why a run failed is told by the run.
    """

    folder: Path
    name: str
    title: str
    note: str
    config: str
    baseline: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    left_out: tuple[str, ...]
    published: tuple[Published, ...]
    how: Mapping[str, Any]
    cost_notes: Mapping[str, Any]
    problems: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs, by variant, then seed."""
        return [run for variant in self.variants for run in variant.runs]


def read_sweep(folder: Path) -> Sweep:
    """Reads a sweep directory.

    Raises:
        UsageError: it is none, or its `sweep.json` is damaged.
    """
    path = folder / "sweep.json"
    values = read_json(path)
    if values is None:
        hint = "it is a single run" if (folder / "metrics.jsonl").exists() else "is it a sweep?"
        raise UsageError(f"{folder} has no sweep.json: {hint}; give the --workdir of a sweep")
    if values.get("format") != FORMAT:
        raise UsageError(
            f"{path} has format {values.get('format')!r}, and this version reads {FORMAT}"
        )
    seeds = take(values, "seeds", list, path)
    if not seeds or not all(isinstance(s, int) and not isinstance(s, bool) for s in seeds):
        raise Damaged(f"{path} is damaged: seeds must be whole numbers, at least one")
    baseline = take(values, "baseline", str, path)
    listed = take(values, "variants", dict, path)
    if baseline not in listed:
        raise Damaged(f"{path} is damaged: its baseline {baseline!r} is not among its variants")
    how = values.get("how")
    problems: list[str] = []
    costs, cost_notes = read_costs(folder / "cost.json", problems)
    variants = tuple(
        _variant(folder, name, listed, seeds, costs.get(name, Cost()), path) for name in listed
    )
    kept = tuple(each for each in variants if each.runs or each.name == baseline)
    sweep = Sweep(
        folder=folder,
        name=take(values, "name", str, path),
        title=take(values, "title", str, path),
        note=str(values.get("note", "")),
        config=str(values.get("config", "")),
        baseline=baseline,
        seeds=tuple(seeds),
        variants=kept,
        left_out=tuple(each.name for each in variants if each not in kept),
        published=tuple(
            _published(entry, path)
            for entry in take({"published": [], **values}, "published", list, path)
        ),
        how=how if isinstance(how, dict) else {},
        cost_notes=cost_notes,
        problems=(),
    )
    problems += [run.problem for run in sweep.runs if run.problem and run.state == DONE]
    return dataclasses.replace(sweep, problems=tuple(problems))


def _variant(
    folder: Path,
    name: str,
    listed: dict[str, Any],
    seeds: list[int],
    cost: Cost,
    path: Path,
) -> Variant:
    where = f"variants.{name}."
    entry = take(listed, name, dict, path, "variants.")
    directory = take(entry, "directory", str, path, where)
    if directory in ("", ".", "..") or "/" in directory or "\\" in directory or "\0" in directory:
        raise Damaged(f"{path} is damaged: {where}directory is {directory!r}, not a folder's name")
    wanted = take(
        {"wanted": seeds, **entry}, "wanted", list, path, where
    )  # absent in earlier versions
    if not all(seed in seeds for seed in wanted):
        raise Damaged(f"{path} is damaged: {where}wanted names seeds that the sweep does not have")
    runs = folder / "runs" / directory
    return Variant(
        name=name,
        overrides=take(entry, "overrides", dict, path, where),
        runs=tuple(Run.read(name, seed, runs / f"seed{seed}") for seed in seeds if seed in wanted),
        cost=cost,
    )


def _published(entry: object, path: Path) -> Published:
    if not isinstance(entry, dict):
        raise Damaged(f"{path} is damaged: published holds something else than objects")
    where = "published."
    return Published(
        source=take(entry, "source", str, path, where),
        setting=take(entry, "setting", str, path, where),
        metric=take(entry, "metric", str, path, where),
        higher_is_better=entry.get("higher_is_better") is True,
        note=str(entry.get("note", "")),
        values={
            name: _figure(value, name, path)
            for name, value in take(entry, "values", dict, path, where).items()
        },
    )


def _figure(value: object, name: str, path: Path) -> Figure:
    parts = value if isinstance(value, list) else [value]
    numbers = [number(part) for part in parts]
    if len(numbers) not in (1, 2) or numbers[0] is None:
        raise Damaged(f"{path} is damaged: the published figure of {name!r} is {value!r}")
    return numbers[0], numbers[1] if len(numbers) == 2 else None
