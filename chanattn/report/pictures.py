"""The pictures of a comparison: accuracy against cost, every seed, differences; curves are in `bands`."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from chanattn.report.bands import curves
from chanattn.report.comparison import Comparison, Row
from chanattn.report.metric import Measure
from chanattn.report.numbers import p_value
from chanattn.report.palette import (
    BASELINE,
    WIDTH,
    Look,
    Picture,
    dress,
    looks,
    name_rows,
    png,
    text_width,
)
from chanattn.runs.cost import Cost, Measured

Get = Callable[[Cost], float | Measured | None]

COSTS: tuple[tuple[str, Get], ...] = (
    ("parameters", lambda cost: cost.parameters),
    ("MACs an image", lambda cost: cost.macs),
    ("latency of one image (ms)", lambda cost: cost.infer_latency_ms),
)
PUBLISHED_MARKERS = "DPX"
LEGEND = 9.0  # font size in points
ROW = 0.36  # inches a variant, where variants are rows


def pictures(comparison: Comparison, rows: Sequence[Row]) -> list[Picture]:
    """All pictures that there are numbers for; `rows` gives the order."""
    metric = comparison.metric
    shown = looks(rows)
    found = [
        _against_cost(metric, rows, shown),
        _seeds(comparison, rows, shown),
        _differences(comparison, rows, shown),
        *curves(metric, rows, shown),
    ]
    return [picture for picture in found if picture is not None]


def _against_cost(metric: Measure, rows: Sequence[Row], shown: Sequence[Look]) -> Picture | None:
    having = [(row, look) for row, look in zip(rows, shown, strict=True) if row.summary]
    costs = [(name, get) for name, get in COSTS if any(get(row.cost) for row, _ in having)]
    if not costs:
        return None
    names = [look.label for _, look in having]
    columns = _legend_columns(names)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 3.4 + 0.2 * lines), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (name, get) in zip(panels, costs, strict=True):
        for row, look in having:
            cost = get(row.cost)
            if cost is None or row.summary is None:
                continue
            x, spread = _place(cost)
            axes.errorbar(
                x,
                row.summary.mean,
                yerr=row.summary.std,
                xerr=spread,
                color=look.colour,
                marker=look.marker,
                markersize=7,
                markeredgecolor="white",
                markeredgewidth=0.7,
                elinewidth=1.3,
                capsize=2.5,
                alpha=0.9,
            )
        axes.set_xlabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(_counts(axes.get_xlim()[1]))
        axes.margins(x=0.08)
        dress(axes)
    panels[0].set_ylabel(metric.label)
    figure.legend(
        handles=[
            Line2D([], [], color=look.colour, marker=look.marker, linestyle="", markersize=7)
            for _, look in having
        ],
        labels=names,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=LEGEND,
    )
    return Picture(
        "accuracy_against_cost",
        f"{metric.label} against cost",
        f"Mean of {metric.label} of each variant, with its standard deviation over the seeds, against"
        f" {', '.join(name for name, _ in costs)}",
        png(figure),
    )


def _seeds(comparison: Comparison, rows: Sequence[Row], shown: Sequence[Look]) -> Picture | None:
    if not any(row.values for row in rows):
        return None
    figure = Figure(figsize=(WIDTH, 1.2 + ROW * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, (row, look) in enumerate(zip(rows, shown, strict=True)):
        if row.summary is None:
            continue
        # Seeds fan out from top to bottom in their order, so that equal values stay apart.
        fan = 0.2 if len(row.values) > 1 else 0.0
        axes.plot(
            list(row.values.values()),
            y + np.linspace(-fan, fan, len(row.values)),
            linestyle="",
            marker="o",
            markersize=5.5,
            color=look.colour,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
        axes.errorbar(
            row.summary.mean,
            y,
            xerr=row.summary.std,
            color=look.colour,
            marker="|",
            markersize=17,
            markeredgewidth=2.2,
            elinewidth=6,
            alpha=0.4,
        )
    if comparison.baseline.summary:
        axes.axvline(comparison.baseline.summary.mean, color=BASELINE, linestyle=":", linewidth=1.2)
    axes.set_xlabel(f"{comparison.metric.label}: every seed, mean ± standard deviation")
    dress(axes)
    name_rows(axes, shown)
    return Picture(
        "seeds",
        "Every seed",
        f"{comparison.metric.label} of every finished seed, by variant; the dotted line is the mean of"
        " the baseline",
        png(figure),
    )


def _differences(
    comparison: Comparison, rows: Sequence[Row], shown: Sequence[Look]
) -> Picture | None:
    pairs = [
        (row, look, difference)
        for row, look in zip(rows, shown, strict=True)
        if (difference := row.difference) is not None
    ]
    if not pairs:
        return None
    figure = Figure(figsize=(WIDTH, 1.7 + ROW * len(pairs)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color=BASELINE, linewidth=1.2)
    for y, (_, look, difference) in enumerate(pairs):
        for bounds, offset, width in (
            (difference.t_interval, 0.0, 3.0),
            (difference.bootstrap, 0.2, 1.2),
        ):
            if bounds:
                axes.plot(bounds, [y + offset] * 2, color=look.colour, linewidth=width, alpha=0.75)
        axes.plot(difference.mean, y, marker="o", color=look.colour, markersize=7)
        if difference.p_corrected is not None:
            axes.annotate(
                f"p {p_value(difference.p_corrected)}",
                (1.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                color=BASELINE,
            )
    handles = [Line2D([], [], color=BASELINE, marker="o", linewidth=3.0, markersize=7)]
    names = ["mean, 95 % interval by Student's t"]
    if any(difference.bootstrap for _, _, difference in pairs):
        handles.append(Line2D([], [], color=BASELINE, linewidth=1.2))
        names.append("95 % interval by bootstrap")
    for mark, marker, gains in _published_gains(comparison):
        drawn = [
            (gains[row.variant.name], y)
            for y, (row, _, _) in enumerate(pairs)
            if row.variant.name in gains
        ]
        places = [x for x, _ in drawn], [y - 0.22 for _, y in drawn]
        (line,) = axes.plot(*places, f"k{marker}", markersize=6, markerfacecolor="none")
        handles.append(line)
        names.append(f"published difference [{mark}]")
    unit = comparison.metric.metric.unit_of_differences
    axes.set_xlabel(
        f"{comparison.metric.name}: difference to {looks([comparison.baseline])[0].label}"
        + (f", {unit}" if unit else "")
    )
    axes.margins(x=0.06)
    dress(axes)
    name_rows(axes, [look for _, look, _ in pairs])
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9
    )
    return Picture(
        "differences",
        "Difference to the baseline",
        f"Mean difference of each variant to the baseline in {comparison.metric.label}, with intervals"
        " of 95 %, and the published difference where there is one",
        png(figure),
    )


def _published_gains(comparison: Comparison) -> list[tuple[int, str, dict[str, float]]]:
    """Mark, marker and difference to the baseline of each table of the same metric, gains positive.

    Nothing where the report compares something else than a paper: the scales would not fit.
    """
    record, metric = comparison.sweep.record, comparison.metric.metric
    # Papers give the error where we give the accuracy.
    names = {metric.name.lower(), metric.label.lower().removesuffix(" accuracy")}
    found: list[tuple[int, dict[str, float]]] = []
    for mark, figures in enumerate(record.published, start=1):
        reference = figures.figures.get(record.baseline)
        if any(name in figures.metric.lower() for name in names) and reference is not None:
            sign = 1.0 if figures.higher_is_better else -1.0
            values = figures.figures.items()
            found.append((mark, {name: sign * (v - reference[0]) for name, (v, _) in values}))
    markers = zip(found, PUBLISHED_MARKERS, strict=False)
    return [(mark, marker, gains) for (mark, gains), marker in markers]


def _legend_columns(names: Sequence[str]) -> int:
    """As many as fit beside each other, at most four."""
    widest = max(text_width(name, LEGEND) for name in names)
    return max(1, min(len(names), 4, int(0.95 * 72 * WIDTH // (widest + 5 * LEGEND))))


def _place(cost: float | Measured) -> tuple[float, list[list[float]] | None]:
    """Position and spread to the left and right of it."""
    if not isinstance(cost, Measured):
        return cost, None
    if cost.low is None or cost.high is None:
        return cost.median, None
    return cost.median, [[max(0.0, cost.median - cost.low)], [max(0.0, cost.high - cost.median)]]


def _counts(largest: float) -> EngFormatter | FuncFormatter:
    if largest >= 1e6:
        return EngFormatter(sep=" ")
    return FuncFormatter(lambda value, _: f"{value:,.6g}")
