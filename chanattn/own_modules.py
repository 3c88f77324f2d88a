"""Modules of a user's own, which register tasks, heads or mechanisms when they are imported."""

import importlib
from collections.abc import Iterable

from chanattn.errors import UsageError


def import_all(names: Iterable[str], named_by: str) -> None:
    """Imports them.

    Args:
        names: dotted, of importable modules.
        named_by: the field or flag that lists them, for messages.

    Raises:
        UsageError: one of them is not there, or raises an error.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(
                f"{named_by} names the module {name!r}, which cannot be imported ({why}); install it, or add"
                " its folder to $PYTHONPATH"
            ) from error
