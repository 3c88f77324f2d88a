"""Split names with slices, as TFDS writes them: `train`, `train[:1000]`, `test[10%:-50]`.

A part of a split is a fair sample of it, whatever the order of its source. The examples of each class are
shuffled, and the r-th of its n (from 0) gets the place r / n; the split is cut in the order of those places:

* A part holds the same share of every class, give or take one example; and one from the beginning on holds
  every class as soon as it has as many examples as there are classes.
* `[:60%]` and `[60%:]` are disjoint, and together they are the whole.
* The order follows from the names of the examples and the labels alone: it is the same on every machine, and
  an example that is added or taken away moves others across a border only by its own place.

TFDS cuts its own sets, whose examples it has shuffled by a hash when it wrote them.
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from chanattn.errors import UsageError

_PATTERN = re.compile(
    r"(?P<name>[\w.-]+?)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?|(?P<several>[\w.-]+(\+[\w.-]+)+)"
)
_SALT = b"chanattn"  # It has the part of a seed, and never changes: a part must stay what it is.


class Split(NamedTuple):
    """The name of a split and the part of it that is meant."""

    name: str
    start: str | None
    stop: str | None

    def indices(self, length: int) -> range:
        """Positions in the order of a split of `length` examples; percentages are rounded.

        Raises:
            UsageError: A border lies outside of the split.
        """
        return range(length)[self._position(self.start, length) : self._position(self.stop, length)]

    def members(self, labels: np.ndarray, names: Sequence[object]) -> np.ndarray:
        """Positions in the source, ascending, of the examples of this part.

        Args:
            labels: (N,) of all examples of the split.
            names: What tells them apart on every machine, such as the paths within the split.

        Raises:
            UsageError: As `indices`.
        """
        part = self.indices(len(labels))
        if len(part) == len(labels):
            return np.arange(len(labels))
        return np.sort(fair_order(labels, names)[part.start : part.stop])

    def _position(self, bound: str | None, length: int) -> int | None:
        if bound is None:
            return None
        percent = bound.endswith("%")
        value = int(bound.removesuffix("%"))
        if abs(value) > (100 if percent else length):
            text = f"{self.name}[{self.start or ''}:{self.stop or ''}]"
            raise UsageError(
                f"split {text!r} goes beyond the {length:,} examples of {self.name}: choose borders within"
            )
        return round(value * length / 100) if percent else value


def parse(text: str) -> Split:
    """Takes `name[from:to]` apart; `one+other`, whole splits together, is a name too.

    Raises:
        UsageError: The text is not of that form.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"split {text!r} is not understood: write it as train, train[:1000] or train[10%:20%]"
        )
    return Split(match["name"] or match["several"], match["start"], match["stop"])


def fair_order(labels: np.ndarray, names: Sequence[object]) -> np.ndarray:
    """A permutation of which every stretch holds the same share of every class, as far as that can be.

    Args:
        labels: (N,) of the examples.
        names: What tells the examples apart; their Unicode form does not matter.

    Returns:
        (N,) positions in `labels`.
    """
    mixed = np.array([_hash(name) for name in names], np.uint64)
    by_class = np.lexsort((mixed, labels))
    classes, first, count = np.unique(labels[by_class], return_index=True, return_counts=True)
    number = np.searchsorted(classes, labels[by_class])
    place = (np.arange(len(labels)) - first[number]) / count[number]
    return by_class[np.lexsort((mixed[by_class], place))]


def _hash(name: object) -> int:
    text = unicodedata.normalize("NFC", str(name)).encode(errors="surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=8, key=_SALT).digest(), "little")
