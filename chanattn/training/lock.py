"""One training at a time in a run directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import jax

from chanattn.errors import UsageError

LOCK = ".lock"


@contextmanager
def exclusive(workdir: str | os.PathLike[str]) -> Iterator[None]:
    """Makes a run directory, and holds it for this process, the first of several that train one model.

    The kernel releases the lock when the process ends, in whatever way, so none is ever left behind. On file
    systems without locks (some network ones) nothing is held.

    Raises:
        UsageError: another process trains in it, or it cannot be written.
    """
    if jax.process_index() != 0:
        yield
        return
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        file = (Path(workdir) / LOCK).open("w")
    except OSError as error:
        raise UsageError(
            f"cannot write to {workdir}: {error.strerror}; choose another --workdir"
        ) from error
    with file:
        if _is_taken(file):
            raise UsageError(
                f"another process is training in {workdir}; wait for it, or choose another --workdir"
            )
        yield


def _is_taken(file: TextIO) -> bool:
    """Takes the lock if it is free; a file system that has no locks counts as free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False
