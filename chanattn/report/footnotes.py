"""What stands below a table: how its numbers came about, what is missing, sources of published figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chanattn.labels import one_line
from chanattn.report.comparison import Comparison
from chanattn.report.statistics import RESAMPLES


def footnotes(comparisons: Sequence[Comparison], *, full: bool) -> tuple[str, ...]:
    """Plain texts, one line each: method, what is missing, sources, cost, notes.

    Args:
        comparisons: the sweeps that the table is about.
        full: whether the table has all columns, bootstrap, times and rates among them.
    """
    lines = list(_method(comparisons, full))
    mark = 0
    for comparison in comparisons:
        of = f"{comparison.label}: " if len(comparisons) > 1 else ""
        for figures in comparison.sweep.record.published:
            mark += 1
            parts = [figures.source, figures.setting, figures.metric, figures.note]
            lines.append(f"[{mark}] {one_line('; '.join(part for part in parts if part))}")
        lines += [
            f"{of}{row.label}: {len(row.values)}/{row.planned} seeds; {row.missing}"
            for row in comparison.rows
            if not row.complete
        ]
        if not comparison.baseline.planned:
            lines.append(
                f"{of}{comparison.baseline.label}, the baseline, has not been asked for so far: there are no"
                " differences"
            )
        if comparison.sweep.left_out:
            named = ", ".join(map(one_line, comparison.sweep.left_out))
            lines.append(f"{of}not asked for so far, and left out: {named}")
        lines += [f"{of}{line}" for line in comparison.notes]
    costs = [
        (comparison.label, line) for comparison in comparisons for line in _cost(comparison, full)
    ]
    for line in dict.fromkeys(line for _, line in costs):
        labels = [label for label, told in costs if told == line]
        everywhere = len(labels) == len(comparisons)
        lines.append(line if everywhere else f"{', '.join(labels)}: {line}")
    return tuple(lines)


def _method(comparisons: Sequence[Comparison], full: bool) -> Iterator[str]:
    """How to read the numbers, with what this very table needs and no more."""
    first = comparisons[0]
    rows = [row for comparison in comparisons for row in comparison.rows]
    differences = [row.difference for row in rows if row.difference]
    yield (
        f"Mean ± sample standard deviation, over the seeds, of {first.metric.label} at the end of"
        " training. All rows share one recipe."
    )
    if any(not row.complete for row in rows):
        yield "k/n: of n planned seeds k are finished, and the numbers are from those alone."
    if any(row.summary and row.summary.n == 2 for row in rows):
        yield (
            "Two seeds hardly tell a standard deviation: its 95 % interval reaches from 0.45 to 32 times the"
            " figure, and ± 0.00 says that two results happen to be equal, not that the next would be."
        )
    if differences:
        yield (
            f"Difference to {first.baseline.label} over the seeds that both have, with 95 % interval"
            " by Student's t; p: paired t test, Holm's correction over the variants of a sweep."
        )
    if full and any(d.bootstrap for d in differences):
        methods = {d.bootstrap_method for d in differences if d.bootstrap}
        yield (
            f"Bootstrap: {' or '.join(sorted(methods))}, {RESAMPLES} resamples of the pairs; too narrow"
            " with few seeds, where the t interval is the one to trust."
        )
    if any(d.t_interval is None for d in differences):
        yield (
            "Interval and p need two pairs, the bootstrap three, that do not all differ by the same"
            " amount; where they cannot be had, nothing or a dash stands."
        )


def _cost(comparison: Comparison, full: bool) -> Iterator[str]:
    about = comparison.sweep.costs
    sizes = {row.cost.batch_size for row in comparison.rows if row.cost.batch_size}
    if full and about.hardware:
        batches = (
            f", batches of {', '.join(f'{size:g}' for size in sorted(sizes))}" if sizes else ""
        )
        yield f"Cost measured on {describe(about.hardware)}{batches}."
    if about.conventions:
        yield f"Cost: {describe(about.conventions)}."
    if full and comparison.rates_from_runs:
        yield (
            "Training images/s: median of what the finished runs saw, perhaps beside others on the"
            " same machine; no measurement of its own."
        )


def describe(value: Any) -> str:
    """A JSON value as a line: "platform cpu, cores 2"."""
    if isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items() if part not in (None, "", [], {})}
        return ", ".join(
            f"{one_line(key).replace('_', ' ')} {describe(part)}" for key, part in parts.items()
        )
    if isinstance(value, list | tuple):
        return " ".join(describe(part) for part in value)
    return one_line(str(value)).rstrip(".")
