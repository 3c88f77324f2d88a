"""Training curves: loss and main metric over the steps, from `metrics.jsonl` of one or several runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chanattn.errors import UsageError
from chanattn.labels import for_picture, one_line
from chanattn.runs.layout import METRICS
from chanattn.runs.metric import Metric, named
from chanattn.runs.metrics_log import curve, readable_lines
from chanattn.runs.run import metrics_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    "train": {"linestyle": "-", "alpha": 0.35, "linewidth": 1.2},
    "test": {"linestyle": "-", "linewidth": 1.8, "marker": "o", "markersize": 3.5},
    "ema": {"linestyle": "--", "linewidth": 1.8, "marker": "s", "markersize": 3.5},
}
LABELS = {"train": "train", "test": "test", "ema": "test, moving average"}


def plot_curves(
    runs: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str], title: str = ""
) -> None:
    """Draws the curves of the run directories `runs` into the PNG `path`.

    Each run has its colour; the training is the pale line, the test split the one with marks, and the test
    with the moving average of the weights the dashed one.

    Raises:
        UsageError: a run has no metrics yet.
    """
    from matplotlib.figure import Figure  # takes a while, and is needed at the end of a training

    metrics = _panels(Path(runs[0]))
    figure = Figure(figsize=(11.0, 4.2))
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for position, run in enumerate(map(Path, runs)):
        if not (run / METRICS).is_file():
            raise UsageError(f"{run} has no {METRICS}: is it a run directory?")
        lines = readable_lines(run)
        own = for_picture(one_line(run.name))
        for axes, metric in zip(panels, metrics, strict=True):
            for split, style in STYLES.items():
                points = curve(lines, split, metric.name)
                if points:
                    name = LABELS[split] if len(runs) == 1 else f"{own}: {LABELS[split]}"
                    axes.plot(
                        list(points),
                        [metric.factor * value for value in points.values()],
                        color=f"C{position}",
                        label=name,
                        **style,
                    )
    for axes, metric in zip(panels, metrics, strict=True):
        _dress(axes, metric.heading)
    handles, names = panels[0].get_legend_handles_labels()
    if len(runs) == 1:  # a place that fits takes half the time that looking for one does
        figure.subplots_adjust(left=0.07, right=0.98, bottom=0.2, top=0.92, wspace=0.18)
        place = "lower center"
    else:
        figure.set_layout_engine("constrained")
        place = "outside lower center"
    figure.legend(handles, names, loc=place, ncols=min(4, max(1, len(names))))
    if title:
        figure.suptitle(for_picture(one_line(title)))
    figure.savefig(path, dpi=120)


def _dress(axes: "Axes", label: str) -> None:
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)


def _panels(run: Path) -> list[Metric]:
    """The objective of the training, which every task has, and the metric that decides."""
    metrics = metrics_of(run)
    return list(dict.fromkeys((named(metrics, "loss"), metrics[0])))
