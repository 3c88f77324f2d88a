"""The columns of a table: heading, and what stands in it for a row of a comparison."""

import dataclasses
from collections.abc import Callable, Mapping

from chanattn.labels import one_line
from chanattn.report import numbers
from chanattn.report.comparison import Comparison, Row
from chanattn.report.numbers import NOTHING
from chanattn.runs.inspection import Difference, Inspection
from chanattn.runs.json_object import Damaged
from chanattn.runs.published import Published

SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in a place of the table.

    Attributes:
        text: as shown.
        value: what the place is sorted by; None sorts last.
        detail: a smaller second line, only on the page.
        hint: shown when pointed at: the whole name behind a label, or why seeds are missing.
        incomplete: whether seeds are missing.
        strong: whether a difference holds after the correction.
    """

    text: str
    value: float | str | None = None
    detail: str = ""
    hint: str = ""
    incomplete: bool = False
    strong: bool = False


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, and what stands below it.

    Attributes:
        title: the heading.
        cell: what stands in the column for a row of the comparison.
        hint: what it means.
        group: what stands above it and its neighbours; empty in the table of one sweep.
        is_text: whether it holds texts, which stand on the left.
        mark: number of the footnote with its source; 0 for none.
    """

    title: str
    cell: Callable[[Row], Cell]
    hint: str = ""
    group: str = ""
    is_text: bool = False
    mark: int = 0

    @property
    def heading(self) -> str:
        """The title with its mark: "top-1 error, % [1]"."""
        return f"{self.title} [{self.mark}]" if self.mark else self.title


_COSTS: tuple[tuple[str, str, str, Callable[[float | None], str]], ...] = (
    ("parameters", "parameters", "", numbers.count),
    ("macs", "MACs", "multiply-accumulates of a forward pass of one image", numbers.count),
    ("train_images_per_s", "training images/s", "median, {rates}", numbers.rate),
    ("infer_latency_ms", "latency ms", "median time of a forward pass of one image", numbers.rate),
    ("infer_images_per_s", "inference images/s", "median, in batches", numbers.rate),
    ("peak_memory_bytes", "peak memory", "of a training step on the device", numbers.memory),
)
"""Field of `Cost`, heading, what it means, and how it is shown."""


def variant(shown: Mapping[str, str]) -> Column:
    """The first column: every variant by its label in `shown`."""

    def cell(row: Row) -> Cell:
        label = shown[row.variant.name]
        return Cell(label, label.casefold(), hint=row.variant.name)

    hint = "the rows share everything but what a variant overrides"
    return Column("variant", cell, hint, is_text=True)


def results(comparison: Comparison) -> list[Column]:
    """Number of seeds, their statistics, and the difference to the baseline."""
    metric = comparison.metric.metric

    def count(row: Row) -> Cell:
        text = f"{len(row.values)}" if row.complete else f"{len(row.values)}/{row.planned}"
        return Cell(text, len(row.values), hint=row.missing, incomplete=not row.complete)

    def plain(row: Row, value: float | None) -> Cell:
        return Cell(numbers.mean_and_std(value, None, metric), value, incomplete=not row.complete)

    def bootstrap(row: Row) -> Cell:
        bounds = row.difference and row.difference.bootstrap
        text = numbers.interval(bounds, metric.digits)
        return Cell(text, bounds and bounds[0], incomplete=_partial(row))

    return [
        Column("n", count, "finished seeds, of those planned"),
        _mean(comparison, marked=False),
        Column(
            "median", lambda row: plain(row, row.summary and row.summary.median), "over the seeds"
        ),
        Column(
            "best",
            lambda row: plain(row, row.summary and row.summary.best),
            "best seed, at the end of its training",
        ),
        _difference(comparison),
        Column(
            "bootstrap 95 %", bootstrap, "interval of the same difference by resampling the seeds"
        ),
        _p_value(),
    ]


def brief(comparison: Comparison) -> list[Column]:
    """What a group of a merged table shows: mean, difference, p, and the cost that depends on the network."""
    size = [column for column in costs(comparison) if column.title in ("parameters", "MACs")]
    return [_mean(comparison, marked=True), _difference(comparison), _p_value(), *size]


def costs(comparison: Comparison) -> list[Column]:
    """The columns of cost that somebody has a value for; on the page with the overhead over the baseline."""
    rates = "as the runs saw it" if comparison.rates_from_runs else "measured"

    def column(field: str, title: str, hint: str, show: Callable[[float | None], str]) -> Column:
        reference = comparison.baseline.cost.middle(field)

        def cell(row: Row) -> Cell:
            value = row.cost.middle(field)
            return Cell(show(value), value, _overhead(value, reference, row))

        return Column(title, cell, hint.format(rates=rates))

    return [
        column(*cost)
        for cost in _COSTS
        if any(row.cost.middle(cost[0]) is not None for row in comparison.rows)
    ]


def inspected(comparison: Comparison) -> list[Column]:
    """What exchanging the weights of pictures does, where runs were inspected (`chanattn.inspect`)."""
    metric = comparison.metric.metric
    found = {row.variant.name: _exchanged(row, metric.name) for row in comparison.rows}
    if not any(found.values()):
        return []

    def cell(row: Row) -> Cell:
        seeds = found[row.variant.name]
        if not seeds:
            return Cell(NOTHING)
        mean = metric.factor * sum(seed.value for seed in seeds) / len(seeds)
        text = numbers.signed(mean, metric.digits)
        bounds = [(s.low, s.high) for s in seeds if s.low is not None and s.high is not None]
        if len(seeds) == 1 and bounds:
            low, high = (metric.factor * end for end in bounds[0])
            return Cell(f"{text} {numbers.interval((low, high), metric.digits)}", mean)
        sure = sum(low > 0 or high < 0 for low, high in bounds)
        detail = f"{len(seeds)} seeds, {sure} with an interval without 0"
        return Cell(text, mean, detail)

    unit = metric.unit_of_differences
    hint = (
        f"change of {metric.label} when every picture is given the attention weights of another one; mean"
        " over the inspected seeds, with the 95 % interval over pictures if it is one"
    )
    return [Column(f"does the input matter?{' ' + unit if unit else ''}", cell, hint)]


def published(comparison: Comparison, marks: int) -> list[Column]:
    """A column a table of figures; their footnotes are numbered from `marks` + 1."""

    def column(position: int, figures: Published) -> Column:
        decimals = numbers.decimals(figures.figures.values())

        def cell(row: Row) -> Cell:
            figure = row.published[position]
            return Cell(numbers.published(figure, decimals), figure and figure[0])

        hint = one_line(f"{figures.source}: {figures.setting}")
        mark = marks + position + 1
        return Column(f"published {one_line(figures.metric)}", cell, hint, mark=mark)

    return [column(*each) for each in enumerate(comparison.sweep.record.published)]


def _exchanged(row: Row, metric: str) -> list[Difference]:
    """Of the inspected runs of a variant, where they were inspected by that metric."""
    found = []
    for run in row.variant.runs:
        try:
            inspection = Inspection.read(run.directory)
        except Damaged:  # it is no part of the run
            continue
        if inspection is not None and inspection.metric() == metric:
            difference = inspection.replaced("another")
            found += [] if difference is None else [difference]
    return found


def _mean(comparison: Comparison, *, marked: bool) -> Column:
    metric = comparison.metric.metric

    def cell(row: Row) -> Cell:
        mean, std = (row.summary.mean, row.summary.std) if row.summary else (None, None)
        text = numbers.mean_and_std(mean, std, metric)
        if marked and not row.complete:
            text = f"{text} ({len(row.values)}/{row.planned})"
        return Cell(text, mean, hint=row.missing, incomplete=not row.complete)

    title = comparison.metric.label if not marked else "mean ± std"
    return Column(title, cell, "mean ± sample standard deviation over the seeds")


def _difference(comparison: Comparison) -> Column:
    digits = comparison.metric.metric.digits

    def cell(row: Row) -> Cell:
        if row.is_baseline:
            return Cell("baseline")
        found = row.difference
        if found is None:
            return Cell(NOTHING, incomplete=_partial(row))
        text = numbers.signed(found.mean, digits)
        if found.t_interval:
            text += " " + numbers.interval(found.t_interval, digits)
        if _partial(row):
            text += f" ({found.pairs}/{row.planned})"
        return Cell(text, found.mean, incomplete=_partial(row), strong=_holds(row))

    unit = comparison.metric.metric.unit_of_differences
    title = f"difference{', ' + unit if unit else ''} [95 %]"
    return Column(title, cell, f"to {comparison.baseline.label}, paired by seed, Student's t")


def _p_value() -> Column:
    def cell(row: Row) -> Cell:
        p = row.difference and row.difference.p_corrected
        return Cell(numbers.p_value(p), p, incomplete=_partial(row), strong=_holds(row))

    return Column("p (Holm)", cell, "paired t test, corrected for the number of variants")


def _holds(row: Row) -> bool:
    """Whether the difference holds after the correction."""
    p = row.difference and row.difference.p_corrected
    return p is not None and p < SIGNIFICANT


def _partial(row: Row) -> bool:
    """Whether the difference lacks pairs."""
    pairs = row.difference.pairs if row.difference else 0
    return not row.is_baseline and pairs < row.planned


def _overhead(value: float | None, reference: float | None, row: Row) -> str:
    """By how much a cost exceeds the baseline's: "+1.1 %"."""
    if value is None or not reference or row.is_baseline:
        return ""
    return f"{numbers.signed(100 * (value / reference - 1), 1)} %"
