"""Measures of a classifier, against sums written out by hand."""

import numpy as np
import pytest

from chanattn.tasks.predictions import Predictions, expected_calibration_error, measures


def test_calibration_error_by_hand() -> None:
    # Two bins: (0, 1/2] holds 0.4 (right) and 0.5 (wrong); (1/2, 1] holds 0.9 (right), 0.8 and 0.7 (wrong).
    confidence = np.array([0.4, 0.5, 0.9, 0.8, 0.7])
    correct = np.array([1, 0, 1, 0, 0])
    low = abs(1 / 2 - 0.45)
    high = abs(1 / 3 - 0.8)
    expected = 2 / 5 * low + 3 / 5 * high
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(expected)


def test_calibration_error_of_many_examples_bin_by_bin() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.05, 1.0, 1000)
    correct = rng.uniform(size=1000) < confidence**2
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            gap = correct[inside].mean() - confidence[inside].mean()
            total += inside.mean() * abs(gap)
    assert expected_calibration_error(confidence, correct) == pytest.approx(total)
    assert total > 0.05


def test_calibration_error_is_zero_for_certain_and_right() -> None:
    ones = np.array([1.0, np.float32(1) + np.float32(1e-7)])
    assert expected_calibration_error(ones, np.array([True, True])) == pytest.approx(0, abs=1e-6)


def test_measures_by_hand() -> None:
    predictions = Predictions(
        label=np.array([0, 0, 1, 1]),
        predicted=np.array([0, 1, 1, 1]),
        confidence=np.array([0.9, 0.6, 0.7, 0.8]),
    )
    found = measures(predictions, ["cat", "dog", "eel"])
    assert found["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found["per_class_accuracy"] == {"cat": 0.5, "dog": 1.0, "eel": None}
