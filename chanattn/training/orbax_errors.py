"""Errors in Orbax's reads and writes: it raises the first one, and gives up on what goes on beside it."""

import gc
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

_SECONDS_TO_END = 0.2
_MOST_SECONDS = 30


class ReadFailed(Exception):
    """One line on why."""


def first_line(error: BaseException, *directories: Path) -> str:
    """An error's first line without the directories, cut: those of the file layer run over pages."""
    text = str(error).strip() or type(error).__name__
    for directory in directories:
        text = text.replace(f"{directory}/", "")
    return text.splitlines()[0][:160]


@contextmanager
def quietly(*directories: Path) -> Iterator[None]:
    """Turns what a damaged file makes Orbax raise, which may be anything, into `ReadFailed`.

    After an error Orbax gives up the reads that go on beside the one that failed. Each of them ends a moment
    later with an error of its own that nobody can catch, and Python would print a traceback of it.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        reason = ""
        try:
            yield
        except (MemoryError, jax.errors.JaxRuntimeError):  # says nothing about the files
            raise
        except Exception as error:
            reason = first_line(error, *directories)
        if reason:
            time.sleep(_SECONDS_TO_END)
            gc.collect()
            raise ReadFailed(reason)
    finally:
        sys.unraisablehook = hook


def let_writes_end(before: Collection[threading.Thread]) -> None:
    """Waits for the threads of a failed save, which write on into a folder that is to be cleared away.

    Args:
        before: the threads that there were before the save.
    """
    deadline = time.monotonic() + _MOST_SECONDS
    for thread in set(threading.enumerate()) - set(before):
        if type(thread).__module__.startswith("orbax."):
            # Its own `join` raises the thread's error.
            threading.Thread.join(thread, max(0.0, deadline - time.monotonic()))
