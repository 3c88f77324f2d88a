"""The picture of a confusion matrix."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from chanattn.labels import IN_PICTURES, for_picture, labels, one_line

MOST_NAMED = 40  # with more classes their names no longer fit beside the matrix
MOST_COUNTED = 20  # with more classes the counts no longer fit into the cells


def plot_confusion(
    matrix: np.ndarray, class_names: Sequence[str], path: str | os.PathLike[str], title: str
) -> None:
    """Draws counts (true class, predicted class), coloured by the share of the true class.

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
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(title=for_picture(one_line(title)), xlabel="predicted class", ylabel="true class")
    if classes <= MOST_NAMED:
        names = [for_picture(label) for label in labels(class_names, IN_PICTURES).values()]
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
    if classes <= MOST_COUNTED:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, fontsize=8
                )
    figure.savefig(path, dpi=120)
