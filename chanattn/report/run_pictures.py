"""The pictures of one run: its curves once it is done, and what its evaluations tell of classes.

Command lines call this after a training or an evaluation, which knows nothing of pictures.
"""

import os
from pathlib import Path

import numpy as np

from chanattn.errors import UsageError
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.layout import CURVES
from chanattn.runs.per_class import label, per_class
from chanattn.streams import say

#: The numbers of classes that are drawn as bars.
BARS = ("iou", "ap", "ap50")


def draw_run(workdir: str | os.PathLike[str]) -> None:
    """Draws `RUN/curves.png`, which nothing depends on: what goes wrong is a warning."""
    path = Path(workdir) / CURVES
    try:
        from chanattn.report.curves import plot_curves  # Matplotlib takes a while

        plot_curves([workdir], path)
    except Exception as error:
        say(f"warning: {path} could not be drawn ({type(error).__name__}: {error})")


def draw_evaluation(file: str | os.PathLike[str]) -> dict[str, str]:
    """Draws what an evaluation tells of classes beside its file.

    Args:
        file: `evaluation/<name>.json`.

    Returns:
        The path of the confusion matrix as `picture`, that of bars for each class as `bars`, and that of
        precision against recall as `curve`: those that there are numbers for.

    Raises:
        UsageError: the file cannot be read, or a picture not be written.
    """
    evaluation, path = Evaluation.read(Path(file)), Path(file).with_suffix(".png")
    matrix = evaluation.confusion()
    if matrix is None:
        return {}
    from chanattn.report.confusion import plot_classes, plot_confusion, plot_precision

    counts, names, title = np.asarray(matrix), evaluation.class_names, evaluation.title()
    rows, found = evaluation.confusion_names(), {"picture": str(path)}
    there = counts.sum(axis=1) > 0
    bars = {
        label(name, evaluation.metrics): [
            values[n] if known else None for n, known in zip(names, there, strict=False)
        ]
        for name, values in per_class(evaluation.results).items()
        if name in BARS
    }
    curves = evaluation.results.get("precision_recall")
    try:
        plot_confusion(counts, rows, path, title, background=len(rows) > len(names))
        if bars:
            found["bars"] = str(path.with_name(f"{path.stem}-classes.png"))
            plot_classes(bars, names, found["bars"], title)
        if curves is not None:
            found["curve"] = str(path.with_name(f"{path.stem}-precision.png"))
            plot_precision(curves, found["curve"], title)
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent}: {error.strerror}; free the place or its permissions"
        ) from error
    return found
