"""The pictures of a confusion matrix, and of a number for each class."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from chanattn.labels import IN_PICTURES, for_picture, labels, one_line

MOST_NAMED = 40  # with more classes their names no longer fit beside the matrix
MOST_COUNTED = 20  # with more classes the counts no longer fit into the cells
LONGEST_COUNT = 9999  # matrices of larger counts, as of pixels, have percentages in their cells
ABSENT = "not in this split"


def plot_confusion(
    matrix: np.ndarray, class_names: Sequence[str], path: str | os.PathLike[str], title: str
) -> None:
    """Draws counts (true class, predicted class), coloured by the share of the true class.

    Counts that are too long for a cell are told as percentages of the true class.

    Args:
        matrix: counts, (classes, classes); row: true class, column: predicted class.
        class_names: one a class, in the order of the rows; any text.
        path: of the PNG.
        title: a line above.
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
        names = [for_picture(label) for label in labels(class_names, IN_PICTURES).values()]
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
    if classes <= MOST_COUNTED:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.1f}" if in_percent else str(count)
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        for row in np.flatnonzero(matrix.sum(axis=1) == 0).tolist():
            middle = (classes - 1) / 2
            axes.text(middle, row, ABSENT, ha="center", va="center", color="#777777", fontsize=8)
    figure.savefig(path, dpi=120)


def plot_classes(
    iou: Sequence[float | None],
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    title: str,
) -> None:
    """Draws a bar for the IoU of each class.

    Args:
        iou: one a class; None: the class is not in the split.
        class_names: any text.
        path: of the PNG.
        title: a line above.
    """
    classes = len(class_names)
    figure = Figure(figsize=(7.0, 1.2 + 0.28 * classes), layout="constrained")
    axes = figure.subplots()
    places = range(classes)
    axes.barh(places, [100 * (value or 0.0) for value in iou], color="#0072b2")
    for place, value in zip(places, iou, strict=True):
        text = ABSENT if value is None else f"{100 * value:.1f}"
        colour = "#777777" if value is None else "black"
        axes.text(
            100 * (value or 0.0) + 1, place, text, va="center", ha="left", fontsize=8, color=colour
        )
    names = [for_picture(label) for label in labels(class_names, IN_PICTURES).values()]
    axes.set_yticks(places, names)
    axes.set(title=for_picture(one_line(title)), xlabel="IoU (%)", xlim=(0, 108))
    axes.set_ylim(classes - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
