"""What a classifier answered on every example of a split, and the measures taken from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Predictions:
    """One entry an example, in the order of the split.

    Attributes:
        label: true class, (N,) int.
        predicted: class of the largest logit, (N,) int.
        confidence: softmax probability of that class, (N,) float.
    """

    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def measures(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """Calibration error, per-class accuracies and confusion matrix, ready for JSON.

    Accuracies are fractions. A class without examples has the per-class accuracy None.
    """
    p = predictions
    classes = len(class_names)
    pairs = np.asarray(p.label, np.int64) * classes + p.predicted
    matrix = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    per_class = {
        name: float(row[i] / row.sum()) if row.sum() else None
        for i, (name, row) in enumerate(zip(class_names, matrix, strict=True))
    }
    return {
        "expected_calibration_error": expected_calibration_error(
            p.confidence, p.predicted == p.label
        ),
        "calibration_bins": BINS,
        "per_class_accuracy": per_class,
        "confusion_matrix": matrix.tolist(),
    }


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = BINS
) -> float:
    """How far the confidence is from the accuracy, on average over the examples.

    Predictions are sorted by confidence into M bins of equal width, bin m being ((m - 1) / M, m / M];
    then ECE = sum over m of |B_m| / N * |accuracy(B_m) - mean confidence(B_m)|. Guo et al. 2017, "On
    Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599, equation 3, with M = 15
    as in its section 5.

    Args:
        confidence: probability of the predicted class, (N,), in (0, 1].
        correct: whether the prediction is right, (N,).
        bins: M.
    """
    confidence = np.asarray(confidence, np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Rounding may lift a softmax probability above 1 by an ulp: the last bin takes that as well.
    number = np.minimum(np.digitize(confidence, edges, right=True), bins)
    gap = np.bincount(number, weights=np.asarray(correct, np.float64) - confidence)
    return float(np.abs(gap).sum() / len(confidence))
