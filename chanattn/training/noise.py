"""Silences what Orbax prints about errors that it raises as well."""

import logging as standard
import sys
from collections.abc import Callable

from absl import logging


def hush_orbax() -> None:
    """For the rest of the process: no log lines of Orbax, no tracebacks of writes that it has given up.

    After one write of a checkpoint has failed, Orbax closes the event loop on which the others would report
    that they are done; each attempt is an error that nobody can catch.
    """
    logging.set_verbosity(logging.ERROR)  # it warns of what it has been asked to do
    logging.get_absl_logger().addFilter(_is_not_of_orbax)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


def _is_not_of_orbax(record: standard.LogRecord) -> bool:
    return "orbax" not in record.pathname


class _Hook:
    """Passes everything on but the attempts."""

    def __init__(self, hook: Callable[["sys.UnraisableHookArgs"], None]) -> None:
        self._hook = hook

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._hook(unraisable)
