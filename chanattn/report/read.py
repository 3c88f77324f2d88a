"""A whole sweep directory: its record, its runs, and the cost of its variants."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chanattn.errors import UsageError
from chanattn.runs.cost import Cost, Costs
from chanattn.runs.json_object import Damaged
from chanattn.runs.layout import INDEX, METRICS
from chanattn.runs.run import DONE, Run
from chanattn.runs.sweep import SweepRecord


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
        record: `sweep.json`.
        variants: in the order of the sweep file; those that nobody has asked for are left out, but for the
            baseline.
        left_out: the names of those.
        costs: `cost.json`; without variants where there is none.
        problems: damaged files beside the results, one line each; why a run failed is told by the run.
    """

    folder: Path
    record: SweepRecord
    variants: tuple[Variant, ...]
    left_out: tuple[str, ...]
    costs: Costs
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
    record = SweepRecord.read(folder)
    if record is None:
        if not folder.is_dir():
            what = "is not there"
        else:
            kind = "a single run" if (folder / METRICS).exists() else "no sweep"
            what = f"is {kind}, it has no {INDEX}"
        raise UsageError(f"{folder} {what}; give the --workdir of a sweep")
    problems: list[str] = []
    costs = _costs(folder, problems)
    variants = tuple(
        Variant(
            name=name,
            overrides=entry.overrides,
            runs=tuple(Run.read(name, seed, at) for seed, at in entry.runs(folder).items()),
            cost=costs.variants.get(name, Cost()),
        )
        for name, entry in record.variants.items()
    )
    kept = tuple(each for each in variants if each.runs or each.name == record.baseline)
    runs = [run for variant in kept for run in variant.runs]
    problems += [run.problem for run in runs if run.problem and run.state == DONE]
    left_out = tuple(each.name for each in variants if each not in kept)
    return Sweep(folder, record, kept, left_out, costs, tuple(problems))


def _costs(folder: Path, problems: list[str]) -> Costs:
    """The costs; a damaged file is noted in `problems`: a table without costs is better than none."""
    try:
        return Costs.read(folder) or Costs({})
    except Damaged as error:
        problems.append(str(error))
        return Costs({})
