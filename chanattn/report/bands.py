"""Training curves over the seeds: mean and, as a band, standard deviation; a panel a variant."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chanattn.report.comparison import Row
from chanattn.report.metric import Measure, metrics_of
from chanattn.report.palette import BASELINE, WIDTH, Look, Picture, dress, png, text_width
from chanattn.runs.metric import named
from chanattn.runs.metrics_log import TRAIN
from chanattn.runs.run import DONE

MOST_COLUMNS = 4
FEW = 4
"""So few evaluations are shown as points, over the whole training."""
TITLE = 9.0  # font size in points

Band = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Steps, mean and standard deviation."""

BEGIN = 0.5
"""The vertical axis is made for what comes after this share of the training; what is before flattens it."""


def curves(metric: Measure, rows: Sequence[Row], shown: Sequence[Look]) -> Iterator[Picture]:
    """The curves of the metric and of the training loss; none where the runs logged nothing."""
    known = metrics_of([run for row in rows for run in row.variant.runs])
    loss = Measure(TRAIN, named(known, "loss"))  # the objective, which every task has
    for name, what in (("curves", metric), ("training_loss", loss)):
        bands = [_band(row, what) for row in rows]
        if any(band is not None for band in bands):
            yield Picture(
                name,
                f"{what.label} during training",
                f"{what.label} over the steps, mean and standard deviation of the finished seeds, one"
                " panel for each variant with the baseline in grey",
                png(_draw(what, rows, shown, bands)),
            )


def _band(row: Row, metric: Measure) -> Band | None:
    """Over the steps that all finished seeds have logged."""
    found = [metric.curve(run) for run in row.variant.runs if run.state == DONE]
    found = [curve for curve in found if curve]
    if not found:
        return None
    steps = sorted(set.intersection(*(set(curve) for curve in found)))
    if not steps:
        return None
    values = np.array([[curve[step] for step in steps] for curve in found])
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    return np.array(steps), values.mean(axis=0), spread


def _draw(
    metric: Measure, rows: Sequence[Row], shown: Sequence[Look], bands: Sequence[Band | None]
) -> Figure:
    baseline = next(band for row, band in zip(rows, bands, strict=True) if row.is_baseline)
    entries = list(zip(rows, shown, bands, strict=True))
    panels = [(look, band) for row, look, band in entries if band and not row.is_baseline]
    if not panels:
        panels = [(look, band) for _, look, band in entries if band]
    lines = -(-len(panels) // MOST_COLUMNS)
    columns = -(-len(panels) // lines)
    figure = Figure(figsize=(WIDTH, 0.7 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
    room = 72 * (WIDTH - 1.5) / columns  # points for a title; the rest is for labels and gaps
    for axes, (look, band) in zip(grid, panels, strict=False):
        _plot(axes, baseline, BASELINE)
        _plot(axes, band, look.colour)
        size = TITLE * min(1.0, room / text_width(look.label, TITLE))
        axes.set_title(look.label, fontsize=size, color=look.colour)
        dress(axes)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=4)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes in grid[: len(panels)][-columns:]:
        axes.tick_params(labelbottom=True)
    known = [band for band in bands if band is not None]
    grid[0].set_ylim(*_limits(known))
    if all(len(steps) > FEW for steps, _, _ in known):
        grid[0].set_xlim(left=BEGIN / 2 * max(steps[-1] for steps, _, _ in known))
    name = next(look.label for row, look in zip(rows, shown, strict=True) if row.is_baseline)
    figure.supxlabel(f"step (grey: {name}, the baseline)", fontsize=9)
    figure.supylabel(metric.label, fontsize=9)
    return figure


def _plot(axes: Axes, band: Band | None, colour: str) -> None:
    if band is None:
        return
    steps, mean, spread = band
    marker = "o" if len(steps) <= FEW else ""
    axes.plot(steps, mean, color=colour, linewidth=1.4, marker=marker, markersize=3.5)
    axes.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.22, linewidth=0)


def _limits(bands: Sequence[Band]) -> tuple[float, float]:
    """Of the vertical axis: where the bands lie after the beginning."""
    last = max(steps[-1] for steps, _, _ in bands)
    late = [
        (mean - spread, mean + spread)
        for steps, mean, spread in (
            tuple(part[band[0] >= BEGIN * last] for part in band) for band in bands
        )
    ]
    low = min(float(below.min()) for below, _ in late if below.size)
    high = max(float(above.max()) for _, above in late if above.size)
    margin = 0.05 * (high - low) or 1e-3
    return low - margin, high + margin
