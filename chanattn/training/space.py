"""Whether a directory can take what is to be written: permission and room."""

import shutil
from pathlib import Path

from chanattn.errors import UsageError

_MIB = 2**20


def shortage(directory: Path, needed: int) -> str | None:
    """What is wrong, in words, if `needed` bytes do not fit on the disk of `directory`; else None."""
    free = shutil.disk_usage(directory).free
    if free >= needed:
        return None
    return f"it needs {needed / _MIB:,.1f} MiB and {free / _MIB:,.1f} MiB are free"


def check_writable(directory: Path) -> None:
    """Makes a directory and tries to write in it; permissions alone do not tell of a disk mounted read-only.

    Raises:
        UsageError: it cannot be written.
    """
    probe = directory / ".writable"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror}; make it writable, or choose another --workdir"
        ) from error
