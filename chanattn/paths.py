"""Paths as people write them: the one place where a text becomes a `Path`."""

import os
import re
from pathlib import Path

from chanattn.errors import UsageError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})(/|$)")


def to_path(text: str | os.PathLike[str]) -> Path:
    """The path that a flag or a field of a config names, with `~` and `~user` expanded.

    A name that really begins with `~` or `$` is written `./~name`. What is a path already stays as it is.

    Raises:
        UsageError: the text is empty, an address such as `file:///data`, or begins with a variable that no
            shell has replaced; or there is no such user.
    """
    if not isinstance(text, str):
        return Path(text)
    if not text.strip():
        raise UsageError("the path is empty; name a file or folder")
    if _ADDRESS.match(text):
        raise UsageError(f"{text!r} is an address; write the path of a file or folder here")
    if _VARIABLE.match(text):
        raise UsageError(
            f"the variable in {text!r} has not been replaced by a shell; write the path itself,"
            f" or ./{text}"
        )
    if "\0" in text:
        raise UsageError(f"{text!r} holds a null character, which no path may")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded.startswith("~"):
        raise UsageError(
            f"the home folder in {text!r} is unknown; write the path itself, or ./{text}"
        )
    path = Path(expanded)
    # `Path` drops the `./` of a name that begins with `~`, which would be taken for a home folder later.
    return path.absolute() if str(path).startswith("~") else path
