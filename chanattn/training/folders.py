"""Folders of checkpoints: found, told whole from unfinished, put out of the way without deleting them."""

import shutil
from pathlib import Path

#: What every checkpoint has; `ema` and `files.json` some.
PARTS = frozenset({"weights", "training", "progress", "manifest"})
_SOME = frozenset({"ema", "files.json"})


def folders(directory: Path) -> dict[int, Path]:
    """What looks like a checkpoint, by step, oldest first."""
    if not directory.is_dir():
        return {}
    names = {path.name: path for path in directory.iterdir() if path.is_dir()}
    found = {int(name): path for name, path in names.items() if name.isascii() and name.isdigit()}
    return dict(sorted(found.items()))


def complete(directory: Path) -> list[int]:
    """Steps of the checkpoints that were written to their end, oldest first.

    Args:
        directory: of plain characters (`chanattn.training.plain_path`).
    """
    found = folders(directory)
    if not found:
        return []
    from chanattn.training.orbax_store import is_complete

    return [step for step in found if is_complete(directory, step)]


def lack(folder: Path) -> str:
    """In words, why a checkpoint is not complete."""
    if not folder.is_dir():
        return "it is absent"
    return "it was not written to its end" if any(folder.iterdir()) else "it is empty"


def remove_half_deleted(directory: Path) -> None:
    """Behind a newer complete checkpoint, one that lacks a part is what a killed process was deleting.

    One that has all parts is damaged, and one that has anything else is not ours: they stay.

    Args:
        directory: as of `complete`.
    """
    whole = complete(directory)
    for step, folder in folders(directory).items():
        names = {path.name for path in folder.iterdir() if not path.name.startswith("_")}
        is_rest = names <= PARTS | _SOME and not names >= PARTS
        if step < max(whole, default=0) and step not in whole and is_rest:
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
