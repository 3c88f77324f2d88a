"""Checksums of the files of a checkpoint, so that damage is seen before Orbax reads them.

Orbax reads all arrays side by side. One that cannot be read makes it give up the others, each of which then
prints a traceback that nobody can catch. So the files are looked at first, and Orbax reads none that is not
as it was written. The checksums lie beside the parts, in `files.json`: `{"weights/d/8f3a...": 123, ...}`.
They are written last, so the checkpoint of a killed process may lack them, as do those of earlier versions:
there the manifest alone tells what is damaged.
"""

import json
import os
import zlib
from collections.abc import Collection
from pathlib import Path

from chanattn.files import write_text

FILES = "files.json"
_CHUNK = 2**20  # bytes


def write(checkpoint: Path) -> None:
    """Notes the checksums of all files of a checkpoint."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    sums = {path.relative_to(checkpoint).as_posix(): _crc32(path) for path in paths}
    write_text(checkpoint / FILES, json.dumps(sums, indent=1) + "\n")


def damage(checkpoint: Path, parts: Collection[str]) -> str | None:
    """What is wrong, in words, with the files of some parts of a checkpoint; None if nothing is known to be.

    Args:
        checkpoint: its folder.
        parts: names of folders in it; files elsewhere are not looked at.
    """
    try:
        sums = json.loads((checkpoint / FILES).read_bytes())
        wanted = {name: int(sum_) for name, sum_ in sums.items() if name.split("/")[0] in parts}
        paths = {name: os.fsencode(checkpoint / name) for name in wanted}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, AttributeError, TypeError, RecursionError):
        return f"{FILES} cannot be read"
    if any(b"\0" in path for path in paths.values()):
        return f"{FILES} names no files"
    for name, crc32 in wanted.items():
        try:
            if _crc32(checkpoint / name) != crc32:
                return f"{name} differs from what was saved"
        except FileNotFoundError:
            return f"{name} is absent"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
