"""An address of a directory that Orbax takes as it stands, whatever the directory is called.

Orbax and what it rests on read a path as more than a name: `[x]`, `*` and `?` as patterns (what was written
below `lr[0.1]` is never found again, and below `a*` its neighbour `ab` is found as well); `gs:` anywhere and
`/s3` at the beginning as the address of a service; a backslash as something else than itself; and a name that
is no UTF-8 not at all.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chanattn.errors import UsageError

# A whitelist: what there is to fear differs from version to version. `\w` has the letters of all languages.
_PLAIN = re.compile(r"(?!/(gs|s3|az|hf)/)[\w/.,+=@#%~ -]+", re.DOTALL)
_LONGEST = 1000  # characters; the system takes 4096 bytes, of which Orbax wants some 200
_HANDLES = Path("/proc/self/fd")


@contextmanager
def plain(directory: Path) -> Iterator[Path]:
    """A path to a directory of plain characters: its own, or one through an open handle of this process.

    The handle follows the directory if it is renamed.

    Args:
        directory: an absolute path; if nothing is there, it is returned as it is.

    Raises:
        UsageError: as `check`.
    """
    check(directory)
    if is_plain(str(directory)) or not directory.is_dir():
        yield directory
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _HANDLES / str(handle)
    finally:
        os.close(handle)


def check(directory: Path) -> None:
    """Refuses an absolute path that Orbax does not take, on a system that has no handles to work around that.

    Raises:
        UsageError: so it is.
    """
    if not (is_plain(str(directory)) or _HANDLES.is_dir()):
        raise UsageError(
            f"checkpoints cannot be kept in {str(directory)!r}: Orbax takes such a name for a pattern or an "
            f"address, and this system has no {_HANDLES} to work around that; choose another --workdir"
        )


def is_plain(path: str) -> bool:
    """Whether every part of Orbax reads an absolute path as a name and as nothing else."""
    return len(path) <= _LONGEST and _PLAIN.fullmatch(path) is not None
