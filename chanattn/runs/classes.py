"""`classes.json`: the names of the classes that a run is trained on, in the order of the labels."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from chanattn.errors import UsageError
from chanattn.files import write_json
from chanattn.runs.layout import CLASSES


def read_classes(workdir: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The names of the classes that a run is trained on; None if it was begun before they were recorded.

    Raises:
        UsageError: the file is damaged.
    """
    path = Path(workdir) / CLASSES
    try:
        content = json.loads(path.read_bytes())
        names = content.get("names") if isinstance(content, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("it has no list of names")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); restore it, or delete it if the data set still has the classes"
            " that the run was trained on"
        ) from error
    return tuple(names)


def read_names(path: Path) -> tuple[str, ...]:
    """The names of classes in a JSON file of one's own: a list, or the `classes.json` of a run.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"names of classes: {path} cannot be read ({reason})") from error
    names = content.get("names") if isinstance(content, dict) else content
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise UsageError(f"names of classes: {path} must be a JSON list of texts")
    return tuple(names)


def write_classes(workdir: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Writes the file, atomically."""
    write_json(Path(workdir) / CLASSES, {"names": list(names)})
