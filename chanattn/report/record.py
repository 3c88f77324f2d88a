"""A row as flat numbers: what `table.csv` and `table.json` hold, and what a table can be sorted by."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from chanattn.errors import UsageError, did_you_mean
from chanattn.report.comparison import Comparison, Row
from chanattn.runs.cost import Cost, Measured

Record = dict[str, str | float | int | None]

_MEASURED = ("train_images_per_s", "infer_latency_ms", "infer_images_per_s")
"""The fields of `Cost` with a spread that are shown."""
_RATES = ("train_images_per_s", "infer_images_per_s")


def record(row: Row) -> Record:
    """The numbers of a row; None is unknown or undefined. Accuracies in per cent, differences in points."""
    summary, difference, cost = row.summary, row.difference, row.cost
    t_interval = (difference and difference.t_interval) or (None, None)
    bootstrap = (difference and difference.bootstrap) or (None, None)
    found: Record = {
        "variant": row.variant.name,
        "n": len(row.values),
        "planned": row.planned,
        "mean": summary and summary.mean,
        "std": summary and summary.std,
        "median": summary and summary.median,
        "best": summary and summary.best,
        "pairs": difference and difference.pairs,
        "difference": difference and difference.mean,
        "t_low": t_interval[0],
        "t_high": t_interval[1],
        "bootstrap_low": bootstrap[0],
        "bootstrap_high": bootstrap[1],
        "p": difference and difference.p,
        "p_corrected": difference and difference.p_corrected,
        "parameters": _float(cost.parameters),
        "macs": _float(cost.macs),
        **_measured(cost),
        "peak_memory_bytes": _float(cost.peak_memory_bytes),
    }
    for number, figure in enumerate(row.published, start=1):
        found[f"published_{number}"], found[f"published_{number}_std"] = figure or (None, None)
    return found


def ordered(comparison: Comparison, column: str) -> list[Row]:
    """The rows by a column of the record, the best first, those without a value last.

    "-column" turns the order around; an empty text keeps that of the sweep.

    Raises:
        UsageError: there is no such column.
    """
    if not column:
        return list(comparison.rows)
    name = column.removeprefix("-")
    keys = {row.variant.name: record(row) for row in comparison.rows}
    known = list(next(iter(keys.values())))
    if name not in known:
        raise UsageError(
            f"--sort={column}: there is no such column; there are {', '.join(known)}."
            f"{did_you_mean(name, known)}"
        )
    descending = _high_first(comparison, name) != column.startswith("-")
    having = [row for row in comparison.rows if keys[row.variant.name][name] is not None]
    lacking = [row for row in comparison.rows if keys[row.variant.name][name] is None]

    def key(row: Row) -> Any:
        value = keys[row.variant.name][name]
        return value.casefold() if isinstance(value, str) else value

    return sorted(having, key=key, reverse=descending) + lacking


def as_csv(comparisons: Sequence[Comparison], sort: str = "") -> str:
    """The content of `table.csv`: one line a variant and sweep; empty where unknown or undefined."""
    lines = [
        {"sweep": comparison.label, **record(row)}
        for comparison in comparisons
        for row in ordered(comparison, sort)
    ]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def as_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The content of `table.json`: one object a sweep, with the values of every seed."""
    return [
        {
            "sweep": comparison.sweep.record.name,
            "title": comparison.sweep.record.title,
            "label": comparison.label,
            "metric": {
                "name": str(comparison.metric),
                "unit": comparison.metric.metric.unit,
                "higher_is_better": comparison.metric.metric.higher_is_better,
            },
            "baseline": comparison.sweep.record.baseline,
            "seeds": list(comparison.sweep.record.seeds),
            "published": [
                {name: value for name, value in figures.to_json().items() if name != "values"}
                for figures in comparison.sweep.record.published
            ],
            "rows": [
                record(row)
                | {
                    "values": {str(seed): value for seed, value in row.values.items()},
                    "missing": row.missing,
                }
                for row in comparison.rows
            ],
            "notes": list(comparison.notes),
        }
        for comparison in comparisons
    ]


def _high_first(comparison: Comparison, name: str) -> bool:
    if name in ("mean", "median", "best", "difference", "t_low", "t_high"):
        return comparison.metric.metric.higher_is_better
    if name.startswith("published_"):
        return comparison.sweep.record.published[int(name.split("_")[1]) - 1].higher_is_better
    return name.startswith(("n", "planned", "pairs", "bootstrap", *_RATES))


def _measured(cost: Cost) -> Record:
    found: Record = {}
    for name in _MEASURED:
        value: Measured | None = getattr(cost, name)
        parts = (None, None, None) if value is None else (value.median, value.low, value.high)
        found |= zip((name, f"{name}_low", f"{name}_high"), parts, strict=True)
    return found


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
