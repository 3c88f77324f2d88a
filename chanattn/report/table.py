"""Comparisons as a table of texts: one sweep with all its columns, or several side by side."""

import dataclasses
from collections.abc import Sequence

from chanattn.errors import UsageError, did_you_mean
from chanattn.labels import labels, one_line
from chanattn.report import columns
from chanattn.report.columns import Cell, Column
from chanattn.report.comparison import Comparison
from chanattn.report.footnotes import footnotes
from chanattn.report.numbers import NOTHING
from chanattn.report.record import ordered


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns, rows, and what must be known to read them.

    Attributes:
        title: a headline.
        columns: the first one holds the variants.
        rows: each with a cell a column.
        footnotes: plain texts, one line each; those of sources begin with their mark, "[1] ".
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footnotes: tuple[str, ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Group and number of its columns, from left to right."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


def single(comparison: Comparison, sort: str = "") -> Table:
    """The table of one sweep; columns of cost that nobody has a value for are left out.

    Args:
        comparison: the sweep.
        sort: see `chanattn.report.record.ordered`.

    Raises:
        UsageError: there is no column `sort`.
    """
    chosen = [
        *columns.results(comparison),
        *columns.inspected(comparison),
        *columns.costs(comparison),
        *columns.published(comparison, 0),
    ]
    names = [row.variant.name for row in ordered(comparison, sort)]
    return _assemble([comparison], [chosen], names, full=True)


def merged(comparisons: Sequence[Comparison], sort: str = "") -> Table:
    """Several sweeps in one table: rows are variants, groups of columns data sets or networks.

    Args:
        comparisons: the sweeps, each with a label of its own.
        sort: a column of the first sweep; "LABEL:COLUMN" takes that of another.

    Raises:
        UsageError: there is no such column, or no sweep of that label.
    """
    label, colon, column = sort.rpartition(":")
    by_label = {comparison.label: comparison for comparison in comparisons}
    if colon and label not in by_label:
        raise UsageError(
            f"--sort={sort}: no sweep is labelled {label!r}; there are {', '.join(by_label)}."
            f"{did_you_mean(label, list(by_label))}"
        )
    leading = by_label[label] if colon else comparisons[0]
    names = [row.variant.name for row in ordered(leading, column)]
    others = [row.variant.name for comparison in comparisons for row in comparison.rows]
    chosen: list[list[Column]] = []
    marks = 0
    for comparison in comparisons:
        group = [*columns.brief(comparison), *columns.published(comparison, marks)]
        marks += len(comparison.sweep.record.published)
        chosen.append([dataclasses.replace(column, group=comparison.label) for column in group])
    return _assemble(comparisons, chosen, list(dict.fromkeys([*names, *others])), full=False)


def _assemble(
    comparisons: Sequence[Comparison],
    chosen: Sequence[Sequence[Column]],
    names: Sequence[str],
    *,
    full: bool,
) -> Table:
    """The table with the columns of each comparison, side by side."""
    variant = columns.variant(labels(names))
    found = [{row.variant.name: row for row in comparison.rows} for comparison in comparisons]
    titles = dict.fromkeys(one_line(comparison.sweep.record.title) for comparison in comparisons)
    return Table(
        title=" / ".join(titles),
        columns=(variant, *(column for group in chosen for column in group)),
        rows=tuple(
            (
                variant.cell(next(rows[name] for rows in found if name in rows)),
                *(
                    column.cell(rows[name]) if name in rows else Cell(NOTHING)
                    for rows, group in zip(found, chosen, strict=True)
                    for column in group
                ),
            )
            for name in names
        ),
        footnotes=footnotes(comparisons, full=full),
    )
