"""Silences what Orbax prints about errors that it raises as well."""

import contextlib
import importlib.util
import logging as standard
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CoroutineType

from absl import logging


@contextlib.contextmanager
def orbax_hushed() -> Iterator[None]:
    """For a while: no log lines of Orbax, no tracebacks of file operations that it has given up.

    It warns of what it has been asked to do, and logs the errors that it raises.
    """
    logger = logging.get_absl_logger()
    logger.addFilter(_is_not_of_orbax)
    try:
        with given_up_operations_hushed():
            yield
    finally:
        logger.removeFilter(_is_not_of_orbax)


@contextlib.contextmanager
def given_up_operations_hushed() -> Iterator[None]:
    """For a while: no tracebacks of reads and writes that Orbax has given up.

    After one has failed, it closes the event loop on which the others would report that they are done; each
    attempt is an error that nobody can catch, and of which Python would print a traceback.
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not _is_given_up(unraisable):
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = before


def _is_given_up(unraisable: "sys.UnraisableHookArgs") -> bool:
    """Whether it is a coroutine of Orbax's, or a report to a loop that Orbax has closed."""
    if isinstance(unraisable.object, CoroutineType):
        return _is_of_orbax(unraisable.object.cr_code.co_filename)
    trace = unraisable.exc_traceback
    return (
        isinstance(unraisable.exc_value, RuntimeError)
        and str(unraisable.exc_value) == "Event loop is closed"
        and trace is not None
        and trace.tb_frame.f_code.co_name == "call_soon_threadsafe"
    )


def _is_not_of_orbax(record: standard.LogRecord) -> bool:
    return not _is_of_orbax(record.pathname)


def _is_of_orbax(file: str) -> bool:
    """Whether code lies in Orbax's packages, which are not imported here: that takes seconds."""
    spec = importlib.util.find_spec("orbax")
    folders = spec.submodule_search_locations or () if spec else ()
    return any(Path(file).is_relative_to(folder) for folder in folders)
