"""Handwritten digits: 1,797 real 8x8 grey pictures that ship inside scikit-learn.

Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
Repository, 1998 (its test part).
"""

import functools
import gzip
from collections.abc import Sequence
from importlib.metadata import files

import numpy as np
from ml_collections import ConfigDict

from chanattn.data.source import ArraySource
from chanattn.errors import UsageError

#: Every so many-th example of a class is a test example.
TEST_EVERY = 5


def open_split(dataset: ConfigDict, split: str, fields: Sequence[str]) -> ArraySource:
    """The split `train` (1,442 pictures) or `test` (355), stratified by class and always the same.

    The stored grey values 0..16 become `round(value * 255 / 16)`, so that 16 is white.
    """
    del dataset, fields
    if split not in ("train", "test"):
        raise UsageError(f"data set 'digits' has the splits train and test, not {split!r}")
    values, labels = load()
    images = np.rint(values * (255 / 16)).astype(np.uint8)[..., None]
    chosen = is_test(labels) == (split == "test")
    names = [str(digit) for digit in range(10)]
    return ArraySource(images[chosen], labels[chosen], names, f"digits/{split}")


@functools.cache  # for both splits
def load() -> tuple[np.ndarray, np.ndarray]:
    """What `load_digits` of scikit-learn gives: values 0..16, (1797, 8, 8) float64, and labels (1797,) int64.

    They are read from scikit-learn's file, because importing scikit-learn takes a second.
    """
    for file in files("scikit-learn") or ():
        if file.name == "digits.csv.gz":
            with gzip.open(file.locate(), "rt") as table:
                rows = np.loadtxt(table, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that keeps the file elsewhere

    bunch = load_digits()
    return bunch.images, bunch.target


def is_test(labels: np.ndarray) -> np.ndarray:
    """Marks the last of every `TEST_EVERY` examples of each class, in the order of the file."""
    rank_in_class = np.zeros(len(labels), int)
    for label in np.unique(labels):
        members = labels == label
        rank_in_class[members] = np.arange(members.sum())
    return rank_in_class % TEST_EVERY == TEST_EVERY - 1
