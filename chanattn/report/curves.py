"""Training curves: loss and accuracy over the steps, from `metrics.jsonl` of one or several runs."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chanattn.errors import UsageError
from chanattn.report.files import number
from chanattn.report.names import for_picture, one_line
from chanattn.report.run import logged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("loss", "loss (nats)", 1.0), ("top1", "top-1 accuracy (%)", 100.0))
"""Metric, its label, and the factor from the log to the picture."""
STYLES = {
    "train": {"linestyle": "-", "alpha": 0.35, "linewidth": 1.2},
    "test": {"linestyle": "-", "linewidth": 1.8, "marker": "o", "markersize": 3.5},
    "ema": {"linestyle": "--", "linewidth": 1.8, "marker": "s", "markersize": 3.5},
}
LABELS = {"train": "train", "test": "test", "ema": "test, moving average"}

Lines = dict[tuple[str, str], list[tuple[int, float]]]


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

    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    for position, run in enumerate(runs):
        lines = _lines(Path(run))
        for axes, (metric, _, factor) in zip(panels, PANELS, strict=True):
            own = for_picture(one_line(Path(run).name))
            for split, style in STYLES.items():
                points = lines[split, metric]
                if points:
                    steps, values = zip(*points, strict=True)
                    name = LABELS[split] if len(runs) == 1 else f"{own}: {LABELS[split]}"
                    axes.plot(
                        steps,
                        [factor * value for value in values],
                        color=f"C{position}",
                        label=name,
                        **style,
                    )
    for axes, (_, label, _) in zip(panels, PANELS, strict=True):
        _dress(axes, label)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, max(1, len(names))))
    if title:
        figure.suptitle(for_picture(one_line(title)))
    figure.savefig(path, dpi=120)


def _dress(axes: "Axes", label: str) -> None:
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)


def _lines(run: Path) -> Lines:
    """{(split, metric): [(step, value), ...]} of a run, without damaged lines and infinite values."""
    if not (run / "metrics.jsonl").is_file():
        raise UsageError(f"{run} has no metrics.jsonl: is it a run directory?")
    lines: Lines = defaultdict(list)
    for line in logged(run):
        for metric, _, _ in PANELS:
            value = number(line.get(metric))
            if value is not None and {"split", "step"} <= line.keys():
                lines[line["split"], metric].append((line["step"], value))
    return lines
