"""The columns of a table: heading, and what stands in it for a row of a comparison."""

import dataclasses
from collections.abc import Callable

from chanattn.report import numbers
from chanattn.report.comparison import Comparison, Row
from chanattn.report.cost import Cost, Measured
from chanattn.report.names import one_line
from chanattn.report.numbers import NOTHING

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
    """A heading.

    Attributes:
        title: the heading.
        group: what stands above it and its neighbours; empty in the table of one sweep.
        hint: what it means.
        is_text: whether it holds texts, which stand on the left.
        mark: number of the footnote with its source; 0 for none.
    """

    title: str
    group: str = ""
    hint: str = ""
    is_text: bool = False
    mark: int = 0

    @property
    def heading(self) -> str:
        """The title with its mark: "top-1 error, % [1]"."""
        return f"{self.title} [{self.mark}]" if self.mark else self.title


Filler = tuple[Column, Callable[[Row], Cell]]

VARIANT = Column(
    "variant", hint="the rows share everything but what a variant overrides", is_text=True
)


def results(comparison: Comparison) -> list[Filler]:
    """Number of seeds, their statistics, and the difference to the baseline."""
    metric = comparison.metric

    def count(row: Row) -> Cell:
        text = f"{len(row.values)}" if row.complete else f"{len(row.values)}/{row.planned}"
        return Cell(text, len(row.values), hint=row.missing, incomplete=not row.complete)

    def median(row: Row) -> Cell:
        return plain(row, row.summary and row.summary.median)

    def best(row: Row) -> Cell:
        return plain(row, row.summary and row.summary.best)

    def plain(row: Row, value: float | None) -> Cell:
        return Cell(numbers.mean_and_std(value, None, metric), value, incomplete=not row.complete)

    return [
        (Column("n", hint="finished seeds, of those planned"), count),
        _mean(comparison, marked=False),
        (Column("median", hint="over the seeds"), median),
        (Column("best", hint="best seed, at the end of its training"), best),
        _difference(comparison),
        (
            Column(
                "bootstrap 95 %", hint="interval of the same difference by resampling the seeds"
            ),
            lambda row: _bootstrap(row, metric.digits),
        ),
        _p_value(),
    ]


def brief(comparison: Comparison) -> list[Filler]:
    """What a group of a merged table shows: mean, difference, p, and the cost that depends on the network."""
    known = costs(comparison)
    size = [filler for filler in known if filler[0].title in ("parameters", "MACs")]
    return [_mean(comparison, marked=True), _difference(comparison), _p_value(), *size]


def costs(comparison: Comparison) -> list[Filler]:
    """The columns of cost that somebody has a value for; on the page with the overhead over the baseline."""
    reference = comparison.baseline.cost
    rates = "as the runs saw it" if comparison.rates_from_runs else "measured"
    candidates: list[
        tuple[Column, Callable[[Cost], float | Measured | None], Callable[..., str]]
    ] = [
        (Column("parameters"), lambda cost: cost.parameters, numbers.count),
        (
            Column("MACs", hint="multiply-accumulates of a forward pass of one image"),
            lambda cost: cost.macs,
            numbers.count,
        ),
        (
            Column("training images/s", hint=f"median, {rates}"),
            lambda cost: cost.train_images_per_s,
            numbers.rate,
        ),
        (
            Column("latency ms", hint="median time of a forward pass of one image"),
            lambda cost: cost.infer_latency_ms,
            numbers.rate,
        ),
        (
            Column("inference images/s", hint="median, in batches"),
            lambda cost: cost.infer_images_per_s,
            numbers.rate,
        ),
        (
            Column("peak memory", hint="of a training step on the device"),
            lambda cost: cost.peak_memory_bytes,
            numbers.memory,
        ),
    ]
    found: list[Filler] = []
    for column, get, show in candidates:
        if any(get(row.cost) is not None for row in comparison.rows):

            def fill(
                row: Row,
                get: Callable[[Cost], float | Measured | None] = get,
                show: Callable[..., str] = show,
            ) -> Cell:
                value = _middle(get(row.cost))
                return Cell(show(value), value, _overhead(value, _middle(get(reference)), row))

            found.append((column, fill))
    return found


def published(comparison: Comparison, marks: int) -> list[Filler]:
    """A column a table of figures; their footnotes are numbered from `marks` + 1."""
    found: list[Filler] = []
    for position, figures in enumerate(comparison.sweep.published):
        decimals = numbers.decimals(figures.values.values())

        def fill(row: Row, position: int = position, decimals: int = decimals) -> Cell:
            figure = row.published[position]
            return Cell(numbers.published(figure, decimals), figure and figure[0])

        hint = one_line(f"{figures.source}: {figures.setting}")
        mark = marks + position + 1
        column = Column(f"published {one_line(figures.metric)}", hint=hint, mark=mark)
        found.append((column, fill))
    return found


def _mean(comparison: Comparison, *, marked: bool) -> Filler:
    metric = comparison.metric

    def fill(row: Row) -> Cell:
        if row.summary is None:
            text, value = NOTHING, None
        else:
            value = row.summary.mean
            text = numbers.mean_and_std(value, row.summary.std, metric)
        if marked and not row.complete:
            text = f"{text} ({len(row.values)}/{row.planned})"
        return Cell(text, value, hint=row.missing, incomplete=not row.complete)

    title = metric.label if not marked else "mean ± std"
    return Column(title, hint="mean ± sample standard deviation over the seeds"), fill


def _difference(comparison: Comparison) -> Filler:
    digits = comparison.metric.digits

    def fill(row: Row) -> Cell:
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
        strong = found.p_corrected is not None and found.p_corrected < SIGNIFICANT
        return Cell(text, found.mean, incomplete=_partial(row), strong=strong)

    unit = comparison.metric.unit_of_differences
    title = f"difference{', ' + unit if unit else ''} [95 %]"
    return Column(title, hint=f"to {comparison.baseline.label}, paired by seed, Student's t"), fill


def _bootstrap(row: Row, digits: int) -> Cell:
    bounds = row.difference and row.difference.bootstrap
    return Cell(numbers.interval(bounds, digits), bounds and bounds[0], incomplete=_partial(row))


def _p_value() -> Filler:
    def fill(row: Row) -> Cell:
        p = row.difference and row.difference.p_corrected
        strong = p is not None and p < SIGNIFICANT
        return Cell(numbers.p_value(p), p, incomplete=_partial(row), strong=strong)

    return Column("p (Holm)", hint="paired t test, corrected for the number of variants"), fill


def _partial(row: Row) -> bool:
    """Whether the difference lacks pairs."""
    pairs = row.difference.pairs if row.difference else 0
    return not row.is_baseline and pairs < row.planned


def _middle(value: float | Measured | None) -> float | None:
    return value.median if isinstance(value, Measured) else value


def _overhead(value: float | None, reference: float | None, row: Row) -> str:
    """By how much a cost exceeds the baseline's: "+1.1 %"."""
    if value is None or not reference or row.is_baseline:
        return ""
    return f"{numbers.signed(100 * (value / reference - 1), 1)} %"
