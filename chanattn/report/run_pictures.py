"""The pictures of one run: its curves once it is done, and what its evaluations tell of classes.

Command lines call this after a training or an evaluation, which knows nothing of pictures.
"""

import os
from pathlib import Path

import numpy as np

from chanattn.errors import UsageError
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.layout import CURVES
from chanattn.runs.per_class import WORDS, label, per_class
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
        The path of the confusion matrix as `picture`, that of bars for each class, or each group of words, as
        `bars`, and that of precision against recall as `curve`: those that there are numbers for.

    Raises:
        UsageError: the file cannot be read, or a picture not be written.
    """
    evaluation, path = Evaluation.read(Path(file)), Path(file).with_suffix(".png")
    matrix, told = evaluation.confusion(), per_class(evaluation.results)
    if matrix is None and WORDS not in told:
        return {}
    from chanattn.report.confusion import plot_classes, plot_confusion, plot_precision

    names, title = evaluation.class_names, evaluation.title()
    curves, found = evaluation.results.get("precision_recall"), {}
    try:
        if matrix is not None:
            counts, rows, found = (
                np.asarray(matrix),
                evaluation.confusion_names(),
                {"picture": str(path)},
            )
            there = counts.sum(axis=1) > 0
            bars = {
                label(name, evaluation.metrics): [
                    values[n] if known else None for n, known in zip(names, there, strict=False)
                ]
                for name, values in told.items()
                if name in BARS
            }
            plot_confusion(counts, rows, path, title, background=len(rows) > len(names))
        else:
            names = tuple(told[WORDS])
            bars = {label(WORDS, ()): list(told[WORDS].values())}
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
