"""Split names with slices, as TFDS writes them: `train`, `train[:1000]`, `test[10%:-50]`."""

import re
from typing import NamedTuple

from chanattn.errors import UsageError

_PATTERN = re.compile(r"(?P<name>[\w.-]+?)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


class Split(NamedTuple):
    """The name of a split and the part of it that is meant."""

    name: str
    start: str | None
    stop: str | None

    def indices(self, length: int) -> range:
        """Positions within a split of `length` examples; percentages are rounded."""
        return range(length)[_position(self.start, length) : _position(self.stop, length)]


def parse(text: str) -> Split:
    """Takes `name[from:to]` apart.

    Raises:
        UsageError: The text is not of that form.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"split {text!r} is not understood: write it as train, train[:1000] or train[10%:20%]"
        )
    return Split(match["name"], match["start"], match["stop"])


def _position(bound: str | None, length: int) -> int | None:
    if bound is None:
        return None
    if bound.endswith("%"):
        return round(int(bound[:-1]) * length / 100)
    return int(bound)
