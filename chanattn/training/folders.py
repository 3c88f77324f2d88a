"""Folders of checkpoints: found, told whole from unfinished, put out of the way without deleting them."""

import json
import shutil
from pathlib import Path

#: What Orbax writes last, so a checkpoint that has it, with its time, was written whole.
_COMMITTED = "_CHECKPOINT_METADATA"


def folders(directory: Path) -> dict[int, Path]:
    """What looks like a checkpoint, by step, oldest first."""
    if not directory.is_dir():
        return {}
    found = {int(path.name): path for path in directory.iterdir() if path.name.isdigit()}
    return dict(sorted(found.items()))


def is_complete(folder: Path) -> bool:
    """Whether Orbax has finished writing a checkpoint."""
    try:
        metadata = json.loads((folder / _COMMITTED).read_bytes())
        return metadata["commit_timestamp_nsecs"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def lack(folder: Path) -> str:
    """In words, why a checkpoint is not complete."""
    if not folder.is_dir():
        return "it is absent"
    return "it was not written to its end" if any(folder.iterdir()) else "it is empty"


def remove_half_deleted(directory: Path) -> None:
    """Behind a newer complete checkpoint, one without its end is what a killed process was deleting."""
    found = folders(directory)
    newest = max((step for step, folder in found.items() if is_complete(folder)), default=0)
    for step, folder in found.items():
        if step < newest and not is_complete(folder):
            shutil.rmtree(folder)


def set_aside(folder: Path) -> Path:
    """Renames a folder to `damaged-STEP` beside it, or `damaged-STEP-2`, ...; returns the new path."""
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        target = folder.with_name(f"damaged-{folder.name}{suffix}")
        if not target.exists():
            return folder.rename(target)
        number += 1
