"""One process at a time in a directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from chanattn.errors import UsageError
from chanattn.training.agreement import decided

LOCK = ".lock"
_TRIES, _PAUSE = 10, 0.05  # seconds: who looks at a lock holds a part of it for an instant


@contextmanager
def exclusive(workdir: str | os.PathLike[str]) -> Iterator[None]:
    """Makes a run directory, and holds it for this process, the first of several that train one model.

    Raises:
        UsageError: another process trains in it, or it cannot be written.
    """
    with ExitStack() as stack:
        decided(lambda: stack.enter_context(hold(workdir, "another process is training in")))
        yield


@contextmanager
def hold(directory: str | os.PathLike[str], taken: str) -> Iterator[None]:
    """Makes a directory, and holds it for this process.

    The kernel releases the lock when the process ends, in whatever way, so none is ever left behind. On file
    systems without locks (some network ones) nothing is held.

    Args:
        directory: made if absent.
        taken: what to say if another process holds it: "another process is training in".

    Raises:
        UsageError: another process holds it, or it cannot be written.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        file = (Path(directory) / LOCK).open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror}; choose another --workdir"
        ) from error
    with file:
        for attempt in range(_TRIES):
            if not _is_taken(file, fcntl.LOCK_EX):
                break
            if attempt == _TRIES - 1:
                raise UsageError(f"{taken} {directory}; wait for it, or choose another --workdir")
            time.sleep(_PAUSE)
        yield


def is_held(directory: str | os.PathLike[str]) -> bool:
    """Whether another process holds the directory now; whoever wants to may take it meanwhile."""
    try:
        file = (Path(directory) / LOCK).open(encoding="utf-8")
    except OSError:  # nobody has ever held it
        return False
    with file:
        return _is_taken(file, fcntl.LOCK_SH)


def _is_taken(file: TextIO, kind: int) -> bool:
    """Takes the lock if it is free; a file system that has no locks counts as free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False
