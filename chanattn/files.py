"""Writing files whole: a reader, or the next start after a power cut, finds the old one or the new one."""

import json
import os
import secrets
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: to a temporary one beside `path`, to the disk, then renamed.

    Raises:
        OSError: it cannot be written; what `path` held stays, and nothing lies beside it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = temporary.open("xb")
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """As `write_text`, of `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")
