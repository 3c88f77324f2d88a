"""Whether a directory can take what is to be written: permission and room."""

import shutil
import tempfile
from pathlib import Path

from chanattn.errors import UsageError

_MIB = 2**20


def shortage(directory: Path, needed: int) -> str | None:
    """What is wrong, in words, if `needed` bytes do not fit on the disk of `directory`; else None."""
    free = shutil.disk_usage(directory).free
    if free >= needed:
        return None
    return f"it needs {needed / _MIB:,.1f} MiB and {free / _MIB:,.1f} MiB are free"


def check_writable(directory: Path, flag: str = "--workdir") -> None:
    """Tries to write where a directory lies or is to be made, and leaves nothing there.

    Permissions alone do not tell of a disk mounted read-only.

    Args:
        directory: what is to be written to or made.
        flag: of the command line, that chooses it.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        nearest = directory.absolute()
        while not nearest.exists():
            nearest = nearest.parent
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot write to {str(directory)!r}: {reason}; choose another {flag}"
        ) from error
    if not nearest.is_dir():
        raise UsageError(f"cannot write to {directory}: {nearest} is a file; choose another {flag}")
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror} in {nearest}; choose another {flag}"
        ) from error
