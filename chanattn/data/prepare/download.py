"""Downloads with a progress bar, and checks them."""

import hashlib
import shutil
import urllib.request
from pathlib import Path

from rich.progress import wrap_file

from chanattn.errors import UsageError

_TIMEOUT_SECONDS = 60


def download(url: str, path: Path, size: int) -> None:
    """Downloads `url`, `size` bytes long, to `path`.

    Raises:
        UsageError: The server cannot be reached or breaks off.
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
            wrap_file(response, total=size, description=f"Downloading {path.name}") as reader,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(reader, file)
    except OSError as error:  # All of urllib's errors are.
        raise UsageError(
            f"download of {url} failed ({error}): try again, or download it by hand and pass "
            "--archive=PATH"
        ) from error


def check(path: Path, sha256: str) -> None:
    """Raises UsageError unless the file has this SHA-256 checksum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise UsageError(
            f"{path.name} is damaged or another file: its SHA-256 is {found[:12]}..., expected "
            f"{sha256[:12]}...; download it again"
        )
