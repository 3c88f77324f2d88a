"""Tables of what the runs tell of every class: mean ± standard deviation over the seeds, by variant."""

import csv
import io
from collections.abc import Mapping, Sequence

from chanattn.labels import IN_PICTURES, labels
from chanattn.report import columns
from chanattn.report.columns import Cell, Column
from chanattn.report.comparison import Comparison, Row
from chanattn.report.numbers import mean_and_std
from chanattn.report.record import ordered
from chanattn.report.statistics import summarize
from chanattn.report.table import Table
from chanattn.runs import per_class
from chanattn.runs.metric import SHARE, Metric

MOST = 100  # classes, more than a table has columns; `classes.csv` has them all

#: By class and seed, in per cent, of one variant.
_Values = Mapping[str, Mapping[int, float | None]]


def tables(comparison: Comparison, sort: str = "") -> dict[str, Table]:
    """A table for each number that the runs tell of classes, by its name (`iou`, `ap`).

    Args:
        comparison: of one sweep.
        sort: see `chanattn.report.record.ordered`.
    """
    rows = ordered(comparison, sort)
    return {
        name: _table(comparison, rows, name, values)
        for name, values in _numbers(comparison).items()
        if len(_classes(values)) <= MOST
    }


def heading(comparison: Comparison, name: str) -> str:
    """Of a table: "IoU by class"."""
    told = next((run.metrics for run in comparison.sweep.runs if run.summary), ())
    return per_class.heading(name, told)


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """The content of `classes.csv`: one line a sweep, variant, number, class and seed; in per cent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sweep", "variant", "number", "class", "seed", "value"])
    for comparison in comparisons:
        for name, by_variant in _numbers(comparison).items():
            for variant, values in by_variant.items():
                for class_name, seeds in values.items():
                    start = [comparison.label, variant, name, class_name]
                    writer.writerows([*start, *pair] for pair in seeds.items())
    return text.getvalue()


def _numbers(comparison: Comparison) -> dict[str, dict[str, _Values]]:
    """By number, then by variant, of the split that the comparison is about."""
    found: dict[str, dict[str, dict[str, dict[int, float | None]]]] = {}
    for row in comparison.rows:
        for run in row.variant.runs:
            for name, values in run.per_class(comparison.metric.split).items():
                of_variant = found.setdefault(name, {}).setdefault(row.variant.name, {})
                for class_name, value in values.items():
                    shown = None if value is None else 100.0 * value
                    of_variant.setdefault(class_name, {})[run.seed] = shown
    return {name: dict(by_variant) for name, by_variant in found.items()}


def _classes(values: Mapping[str, _Values]) -> list[str]:
    """In the order in which the runs have them."""
    return list(dict.fromkeys(name for of_variant in values.values() for name in of_variant))


def _table(
    comparison: Comparison, rows: Sequence[Row], name: str, values: Mapping[str, _Values]
) -> Table:
    metric = Metric(name, name, SHARE, True)
    split = comparison.metric.name.removesuffix(f" {comparison.metric.metric.label}")

    def column(class_name: str, shown_as: str) -> Column:
        def cell(row: Row) -> Cell:
            seeds = values.get(row.variant.name, {}).get(class_name, {})
            there = {seed: value for seed, value in seeds.items() if value is not None}
            summary = summarize(list(there.values()), higher_is_better=True)
            mean, std = (summary.mean, summary.std) if summary else (None, None)
            hint = f"{len(there)} of {row.planned} seeds"
            text = mean_and_std(mean, std, metric)
            return Cell(text, mean, hint=hint, incomplete=len(there) < row.planned)

        return Column(shown_as, cell, class_name)

    chosen = [
        columns.variant(labels(row.variant.name for row in rows)),
        *(column(*names) for names in labels(_classes(values), IN_PICTURES).items()),
    ]
    return Table(
        title=f"{heading(comparison, name)}, {comparison.label}",
        columns=tuple(chosen),
        rows=tuple(tuple(each.cell(row) for each in chosen) for row in rows),
        footnotes=(
            f"Mean ± sample standard deviation over the seeds, in per cent, on {split} at the end of"
            " training, of the seeds that tell it; – where none does, or there is nothing to measure.",
        ),
    )
