"""Reading JSON that a killed process or a full disk may have damaged."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chanattn.errors import UsageError


class Damaged(UsageError):
    """A file that is there but is not what it should be; one line that names it."""


def read_json(path: Path, newest: int | None = None) -> dict[str, Any] | None:
    """The JSON object in `path`; None if there is no such file.

    Args:
        path: the file.
        newest: the newest format that is known here; None: such files have no format.

    Raises:
        Damaged: the file cannot be read, is not JSON, holds something else than an object, or is of another
            format.
    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise Damaged(f"{path} is damaged: it is not JSON ({reason})") from error
    if not isinstance(value, dict):
        raise Damaged(f"{path} is damaged: it holds {_kind(value)} instead of an object")
    if newest is not None:
        check_format(value, newest, path)
    return value


def known_fields(record: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a file tells of the fields of a dataclass, lists as tuples; what it tells besides is left out."""
    names = {field.name for field in dataclasses.fields(record)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in names
    }


def check_format(values: Mapping[str, Any], newest: int, path: Path) -> None:
    """Refuses a file of a format that this version does not read; one that tells none is of the first.

    Args:
        values: what the file holds.
        newest: the newest format that is known here.
        path: the file, for the message.

    Raises:
        Damaged: it is of another format.
    """
    format_ = values.get("format", 1)
    if not isinstance(format_, int) or not 1 <= format_ <= newest:
        raise Damaged(f"{path} has format {format_!r}, and this version reads {newest}")


def take(values: dict[str, Any], key: str, kind: type, path: Path, where: str = "") -> Any:
    """`values[key]`, which must be of type `kind`.

    Args:
        values: a JSON object.
        key: its field.
        kind: str, int, list or dict.
        path: the file, for the message.
        where: the place of `values` in the file, such as "variants.se.", for the message.

    Raises:
        Damaged: the field is missing or of another type.
    """
    if key not in values:
        raise Damaged(f"{path} is damaged: it has no {where}{key}")
    value = values[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Damaged(f"{path} is damaged: {where}{key} is {_kind(value)}, not {_NAMES[kind]}")
    return value


def number(value: object) -> float | None:
    """`value` if it is a finite number, else None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


_NAMES = {str: "a text", int: "an integer", list: "a list", dict: "an object"}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    return "a number" if isinstance(value, int | float) else _NAMES[type(value)]
