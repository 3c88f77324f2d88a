"""The pictures that a command line names: files, folders, and patterns that no shell has expanded."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from chanattn.data.sources.folder import SUFFIXES, pictures_below
from chanattn.errors import UsageError
from chanattn.paths import to_path


def find(named: Sequence[str]) -> list[Path]:
    """All of them, each once, in the order in which they are named; within a folder by path.

    A file is taken whatever its name; in folders what is a picture says `chanattn.data.sources.folder`.

    Raises:
        UsageError: nothing is named, a name leads nowhere, or there is no picture in a folder.
    """
    if not named:
        raise UsageError("name the pictures: files, folders, or patterns such as 'photos/*.jpg'")
    return list(dict.fromkeys(path for name in named for path in _of(name)))


def _of(name: str) -> Iterator[Path]:
    path = to_path(name)
    try:
        there = path.exists()
    except OSError as error:  # a part of it is too long, or may not be entered
        raise UsageError(f"picture {name} cannot be read ({error.strerror})") from error
    matches = [path] if there else [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        what = "nothing matches" if glob.has_magic(name) else "there is no picture or folder"
        raise UsageError(f"{what} {name}; name files, folders, or patterns such as 'photos/*.jpg'")
    for match in matches:
        if not match.is_dir():
            yield match
            continue
        found, passed_over = pictures_below(match)
        if not found:
            raise UsageError(
                f"folder {match} holds no pictures: {', '.join(SUFFIXES)}{passed_over}"
            )
        yield from found
