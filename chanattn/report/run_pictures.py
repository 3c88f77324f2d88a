"""The pictures of one run: its curves once it is done, and the confusion matrices of its evaluations.

Command lines call this after a training or an evaluation, which knows nothing of pictures.
"""

import os
from pathlib import Path

import numpy as np

from chanattn.errors import UsageError
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.layout import CURVES
from chanattn.streams import say


def draw_run(workdir: str | os.PathLike[str]) -> None:
    """Draws `RUN/curves.png`, which nothing depends on: what goes wrong is a warning."""
    path = Path(workdir) / CURVES
    try:
        from chanattn.report.curves import plot_curves  # Matplotlib takes a while

        plot_curves([workdir], path)
    except Exception as error:
        say(f"warning: {path} could not be drawn ({type(error).__name__}: {error})")


def draw_evaluation(file: str | os.PathLike[str]) -> dict[str, str]:
    """Draws the confusion matrix of an evaluation beside its file, and the IoU of classes that have one.

    Args:
        file: `evaluation/<name>.json`.

    Returns:
        The path of the matrix as `picture`, that of the bars as `bars`; nothing where the task counts no
        confusions.

    Raises:
        UsageError: the file cannot be read, or the picture not be written.
    """
    evaluation, path = Evaluation.read(Path(file)), Path(file).with_suffix(".png")
    matrix = evaluation.confusion()
    if matrix is None:
        return {}
    from chanattn.report.confusion import plot_classes, plot_confusion

    counts, names, title = np.asarray(matrix), evaluation.class_names, evaluation.title()
    iou, found = evaluation.results.get("per_class_iou"), {"picture": str(path)}
    try:
        plot_confusion(counts, names, path, title)
        if iou is not None:
            bars = path.with_name(f"{path.stem}-classes.png")
            there = counts.sum(axis=1) > 0
            shown = [iou[n] if known else None for n, known in zip(names, there, strict=True)]
            plot_classes(shown, names, bars, title)
            found["bars"] = str(bars)
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent}: {error.strerror}; free the place or its permissions"
        ) from error
    return found
