"""A sweep, compared: for every variant its statistics, its difference to the baseline, and its cost."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chanattn.errors import UsageError
from chanattn.labels import labels, one_line
from chanattn.report import environment, recipe
from chanattn.report.metric import Measure, chosen
from chanattn.report.read import Sweep, Variant, read_sweep
from chanattn.report.statistics import Difference, Summary, correct, paired, summarize
from chanattn.runs.cost import Cost, Measured
from chanattn.runs.published import Figure
from chanattn.runs.run import ABSENT, DONE, INCOMPLETE, Run


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant in numbers; accuracies in per cent, differences in points.

    Attributes:
        variant: what was read.
        label: its name as a line of bounded length.
        is_baseline: whether the others are compared with it.
        values: of the finished seeds.
        planned: number of seeds wanted.
        summary: of `values`; None without one.
        difference: to the baseline; None for the baseline itself and without a common seed.
        cost: measured; parameters and training rate as the runs told them where nobody measured.
        published: one a table of figures; None where it lacks the variant.
    """

    variant: Variant
    label: str
    is_baseline: bool
    values: Mapping[int, float]
    planned: int
    summary: Summary | None
    difference: Difference | None
    cost: Cost
    published: tuple[Figure | None, ...]

    @property
    def complete(self) -> bool:
        """Whether every planned seed has a value."""
        return len(self.values) == self.planned

    @property
    def missing(self) -> str:
        """Why seeds have no value: "seed 3 failed; seed 4 incomplete, at step 400"."""
        return "; ".join(
            f"seed {run.seed} {_state(run)}"
            for run in self.variant.runs
            if run.seed not in self.values
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A sweep by one metric.

    Attributes:
        sweep: what was read.
        metric: what is compared, on which split.
        label: data set and network, the heading of its columns in a merged table.
        rows: in the order of the sweep.
        rates_from_runs: whether the training rate is what the runs saw, because nobody measured the cost.
        notes: what a reader must know: damaged files, runs of other hardware.
    """

    sweep: Sweep
    metric: Measure
    label: str
    rows: tuple[Row, ...]
    rates_from_runs: bool
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Row:
        """The row that the others are compared with."""
        return next(row for row in self.rows if row.is_baseline)


def compare_all(folders: Sequence[Path], metric: str = "") -> list[Comparison]:
    """Reads and compares the sweeps that one report is about, each with a label of its own.

    Args:
        folders: of the sweeps.
        metric: see `compare`.

    Raises:
        UsageError: as `compare`; a folder is no sweep; or several differ in more than data set and network.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in resolved:
        if resolved.count(folder) > 1:
            raise UsageError(f"the sweep {folder} is given twice")
    comparisons = [compare(read_sweep(folder), metric) for folder in folders]
    recipe.check_merge([comparison.sweep for comparison in comparisons])
    counts = Counter(comparison.label for comparison in comparisons)
    return [
        comparison
        if counts[comparison.label] == 1
        else dataclasses.replace(
            comparison, label=f"{comparison.label} · {one_line(folder.resolve().name)}"
        )
        for comparison, folder in zip(comparisons, folders, strict=True)
    ]


def compare(sweep: Sweep, metric: str = "") -> Comparison:
    """Compares the variants of a sweep.

    Args:
        sweep: what was read.
        metric: `split/name` of a final value; empty: the metric by which the runs are judged, on the test
            split.

    Raises:
        UsageError: the runs do not share their recipe, or no finished run has the metric.
    """
    recipe.check(sweep)
    measure, record = chosen(sweep.runs, metric, sweep.folder), sweep.record
    names = labels(variant.name for variant in sweep.variants)
    values = {variant.name: _values(variant, measure) for variant in sweep.variants}
    differences = correct(
        [
            None if name == record.baseline else paired(found, values[record.baseline])
            for name, found in values.items()
        ]
    )
    rows = tuple(
        Row(
            variant=variant,
            label=names[variant.name],
            is_baseline=variant.name == record.baseline,
            values=values[variant.name],
            planned=len(variant.runs),
            summary=summarize(
                list(values[variant.name].values()),
                higher_is_better=measure.metric.higher_is_better,
            ),
            difference=difference,
            cost=_cost(variant),
            published=tuple(figures.figures.get(variant.name) for figures in record.published),
        )
        for variant, difference in zip(sweep.variants, differences, strict=True)
    )
    return Comparison(
        sweep=sweep,
        metric=measure,
        label=_label(sweep),
        rows=rows,
        rates_from_runs=not any(v.cost.train_images_per_s for v in sweep.variants)
        and any(row.cost.train_images_per_s for row in rows),
        notes=(*environment.notes(sweep), *map(one_line, sweep.problems)),
    )


def _values(variant: Variant, measure: Measure) -> dict[int, float]:
    found = {run.seed: measure.final(run) for run in variant.runs if run.state == DONE}
    return {seed: value for seed, value in found.items() if value is not None}


def _cost(variant: Variant) -> Cost:
    """The measured cost, completed by what the finished runs tell."""
    cost = variant.cost
    done = [run for run in variant.runs if run.state == DONE]
    if cost.parameters is None and done:
        cost = dataclasses.replace(cost, parameters=done[0].value("parameters"))
    rates = sorted(rate for run in done if (rate := run.value("images_per_second")) is not None)
    if cost.train_images_per_s is None and rates:
        measured = Measured(float(np.median(rates)), rates[0], rates[-1])
        cost = dataclasses.replace(cost, train_images_per_s=measured)
    return cost


def _label(sweep: Sweep) -> str:
    common = recipe.shared(sweep)
    parts = [common.get("dataset.name"), common.get("model.name")]
    return (
        " · ".join(one_line(part) for part in parts if isinstance(part, str)) or sweep.record.name
    )


def _state(run: Run) -> str:
    if run.state == DONE:
        return "done, but without this metric"
    if run.state == INCOMPLETE:
        return f"incomplete, at step {run.step()}"
    return run.state if run.state == ABSENT else f"failed ({one_line(run.problem)})"
