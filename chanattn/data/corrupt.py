"""Counts unreadable pictures, names them, and stops the run when there are too many.

Workers only report what they meet; the count is kept here, in the process that trains.
"""

import sys
from collections.abc import Iterable

from chanattn.data.batches import decoded
from chanattn.data.decode import Decoding
from chanattn.data.fit import Fit
from chanattn.data.source import Source
from chanattn.errors import UsageError


class CorruptCount:
    """The different unreadable pictures of one source met so far by this process."""

    def __init__(self, source: Source, fit: Fit, limit: int):
        """`limit` is the number tolerated (`dataset.max_corrupt`)."""
        self.source = source
        self.fit = fit
        self.limit = limit
        self._met: set[int] = set()

    def __len__(self) -> int:
        return len(self._met)

    def add(self, indices: Iterable[int]) -> None:
        """Counts the pictures at these positions of the source; each is named once.

        Raises:
            UsageError: More than `limit` are corrupt.
        """
        for index in indices:
            if int(index) in self._met:
                continue
            self._met.add(int(index))
            name = f"{self.source.describe(int(index))}{self._reason(int(index))}"
            if len(self._met) > self.limit:
                raise UsageError(
                    f"corrupt picture {name}, number {len(self._met)}: more than "
                    f"config.dataset.max_corrupt={self.limit}; mend or remove it, or raise the limit "
                    "to skip it"
                )
            print(
                f"skipped corrupt picture {name} ({len(self._met)} of at most {self.limit})",
                file=sys.stderr,
                flush=True,
            )

    def _reason(self, index: int) -> str:
        """What is wrong with a picture, ` (in brackets)`, found out by reading it once more."""
        (record,) = self.source.read([index])
        try:
            with Decoding():
                decoded(self.source, self.fit, index, record)
        except OSError as error:
            return f" ({error.strerror or error})"
        except ValueError as error:
            return f" ({error})"
        return " (it can be read now)"
