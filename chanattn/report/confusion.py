"""The pictures of a confusion matrix, of numbers for each class, and of precision against recall."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chanattn.labels import IN_PICTURES, for_picture, labels, one_line
from chanattn.report.palette import COLOURS

MOST_NAMED = 40  # with more classes their names no longer fit beside the matrix
MOST_COUNTED = 20  # with more classes the counts no longer fit into the cells
LONGEST_COUNT = 9999  # matrices of larger counts, as of pixels, have percentages in their cells
ABSENT = "not in this split"


def plot_confusion(
    matrix: np.ndarray,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    title: str,
    *,
    background: bool = False,
) -> None:
    """Draws counts (true class, predicted class), coloured by the share of the true class.

    Counts that are too long for a cell are told as percentages of the true class.

    Args:
        matrix: counts, (classes, classes); row: true class, column: predicted class.
        class_names: one a class, in the order of the rows; any text.
        path: of the PNG.
        title: a line above.
        background: whether the last row and column are none of a class: what was found where nothing is, and
            what was missed.
    """
    classes = len(class_names)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(4.5, 0.45 * classes + 2.0), 14.0)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    in_percent = matrix.max(initial=0) > LONGEST_COUNT
    label = "share of the true class" + ("; cells: percent" if in_percent else "")
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    axes.set(title=for_picture(one_line(title)), xlabel="predicted class", ylabel="true class")
    if classes <= MOST_NAMED:
        names = _drawn(class_names)
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
    if classes <= MOST_COUNTED:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.1f}" if in_percent else str(count)
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        absent = matrix.sum(axis=1) == 0
        for row in np.flatnonzero(absent[: classes - background]).tolist():
            middle = (classes - 1) / 2
            axes.text(middle, row, ABSENT, ha="center", va="center", color="#777777", fontsize=8)
    figure.savefig(path, dpi=120)


def plot_classes(
    numbers: Mapping[str, Sequence[float | None]],
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    title: str,
) -> None:
    """Draws a bar for each class, or one for each of several numbers.

    Args:
        numbers: by what they are called, such as IoU; shares, one a class; None: it is not in the split.
        class_names: any text.
        path: of the PNG.
        title: a line above.
    """
    classes, bars = len(class_names), len(numbers)
    figure = Figure(figsize=(7.0, 1.2 + 0.28 * classes * (1 + bars) / 2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / bars
    for number, (name, values) in enumerate(numbers.items()):
        places = np.arange(classes) + (number - (bars - 1) / 2) * width
        shown = [100 * (value or 0.0) for value in values]
        axes.barh(places, shown, width, color=COLOURS[number % len(COLOURS)], label=name)
        for place, value in zip(places.tolist(), values, strict=True):
            if value is None and number:
                continue  # said once
            text = ABSENT if value is None else f"{100 * value:.1f}"
            colour = "#777777" if value is None else "black"
            x = 100 * (value or 0.0) + 1
            axes.text(x, place, text, va="center", ha="left", fontsize=8, color=colour)
    axes.set_yticks(range(classes), _drawn(class_names))
    if bars > 1:
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.0, 0.0), frameon=False)
    unit = f"{next(iter(numbers))} (%)" if bars == 1 else "%"
    axes.set(title=for_picture(one_line(title)), xlabel=unit, xlim=(0, 108))
    axes.set_ylim(classes - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_precision(curves: Mapping[str, Any], path: str | os.PathLike[str], title: str) -> None:
    """Draws the precision against the recall: at IoU 0.5 and over all IoUs, by class and on average.

    Args:
        curves: `recall`, the values of the axis, and by class `ap50` and `ap`, those of the curves; None: the
            class is not in the split (`chanattn.tasks.average_precision.curves_of`).
        path: of the PNG.
        title: a line above.
    """
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    recall = curves["recall"]
    for axes, name, heading in (
        (panels[0], "ap50", "IoU 0.5"),
        (panels[1], "ap", "mean over IoU 0.5 to 0.95"),
    ):
        there = {label: values for label, values in curves[name].items() if values is not None}
        few = len(there) <= len(COLOURS)
        for number, (label, values) in enumerate(zip(_drawn(there), there.values(), strict=True)):
            look = {"color": COLOURS[number], "label": label} if few else {"color": "#bbbbbb"}
            axes.plot(recall, values, linewidth=1.2, **look)
        if len(there) > 1:
            mean = np.mean(list(there.values()), axis=0)
            axes.plot(recall, mean, color="black", linewidth=2.2, label="mean of the classes")
        axes.set(title=heading, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("precision")
    handles, names = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside right upper", fontsize=8, frameon=False)
    figure.suptitle(for_picture(one_line(title)), fontsize=11)
    figure.savefig(path, dpi=120)


def _drawn(class_names: Iterable[str]) -> list[str]:
    return [for_picture(label) for label in labels(class_names, IN_PICTURES).values()]
