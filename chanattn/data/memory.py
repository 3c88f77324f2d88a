"""A whole source decoded into memory, by threads (OpenCV and file reading release Python's lock)."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from chanattn.cores import usable_cores
from chanattn.data.batches import HostBatch, blank, load
from chanattn.data.decode import Decoding
from chanattn.data.fit import Fit
from chanattn.data.source import Source

_CHUNK = 256
_QUIET_SECONDS = 2.0  # Nothing is said about reading that takes less.


class Memory(NamedTuple):
    """Decoded examples, of which those that are `corrupt` hold nothing."""

    arrays: HostBatch  # (N, ...) each
    corrupt: np.ndarray  # (N,) bool


def read_all(source: Source, fit: Fit, title: str) -> Memory:
    """Decodes all examples, in order; a line on stderr says how far it is when it takes long.

    Args:
        source: What to read.
        fit: Brings each picture to one size; must not crop at random.
        title: Name of the source, for the line.

    Raises:
        UsageError: As `chanattn.data.batches.load`.
    """
    n = len(source)
    memory = Memory(blank(source, fit, n), np.zeros(n, bool))

    def read(start: int) -> None:
        indices = range(start, min(start + _CHUNK, n))
        for number in load(source, fit, indices, None, memory.arrays, indices):
            memory.corrupt[indices[number]] = True

    progress = _Progress(title, n)
    with Decoding(), ThreadPoolExecutor(usable_cores()) as threads:
        for chunk, _ in enumerate(threads.map(read, range(0, n, _CHUNK)), start=1):
            progress.show(min(chunk * _CHUNK, n))
    progress.close()
    return memory


class _Progress:
    """A line that counts up on a terminal; a single line elsewhere."""

    def __init__(self, title: str, total: int):
        self.title = title
        self.total = total
        self._start = time.monotonic()
        self._shown = False

    def show(self, done: int) -> None:
        if time.monotonic() - self._start < _QUIET_SECONDS:
            return
        if sys.stderr.isatty():
            print(f"\rReading {self.title}: {done:,} of {self.total:,}", end="", file=sys.stderr)
        elif not self._shown:
            print(f"Reading {self.total:,} pictures of {self.title} ...", file=sys.stderr)
        self._shown = True

    def close(self) -> None:
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)
