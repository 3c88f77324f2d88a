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
    """Draws the confusion matrix of an evaluation beside its file.

    Args:
        file: `evaluation/<name>.json`.

    Returns:
        The path of the PNG as `picture`; nothing where the task counts no confusions.

    Raises:
        UsageError: the file cannot be read, or the picture not be written.
    """
    evaluation, path = Evaluation.read(Path(file)), Path(file).with_suffix(".png")
    matrix = evaluation.confusion()
    if matrix is None:
        return {}
    from chanattn.report.confusion import plot_confusion

    try:
        plot_confusion(np.asarray(matrix), evaluation.class_names, path, evaluation.title())
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent}: {error.strerror}; free the place or its permissions"
        ) from error
    return {"picture": str(path)}
