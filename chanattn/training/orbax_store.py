"""All that the project asks of Orbax: steps of arrays and JSON in one folder, written in the background.

What is verified, and what stays, is said in `chanattn.training.checkpoint`. Only what Orbax documents is used
(https://orbax.readthedocs.io), but for `threads_of_a_save` and `log_hushed`, each with a test of its own in
`tests/training/test_orbax_store.py`. Importing Orbax takes a quarter of a second, so this module is imported
where it is wanted.
"""

import logging as standard
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from absl import logging

PyTree = Any
_MOST_SECONDS = 30  # that a failed save may write on
_PACKAGE = Path(ocp.__file__).parent


class OrbaxStore:
    """The checkpoints of a folder, by step.

    Args:
        folder: an absolute path of plain characters (`chanattn.training.plain_path`).
        kept: tells which of the steps given stay; it is asked at every save, the new step among them.
        read_only: nothing is written, renamed or deleted.
    """

    def __init__(
        self, folder: Path, kept: Callable[[Collection[int]], Collection[int]], *, read_only: bool
    ) -> None:
        self._folder = folder
        self._threads: set[threading.Thread] = set()
        self._manager = ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=_Kept(kept),
                create=not read_only,
                cleanup_tmp_directories=not read_only,
                single_host_load_and_broadcast=True,
            ),
        )

    def save(
        self, step: int, arrays: Mapping[str, PyTree], values: Mapping[str, dict[str, Any]]
    ) -> None:
        """Returns once the arrays are copied, and writes all parts, by name, in the background."""
        parts = {name: ocp.args.StandardSave(tree) for name, tree in arrays.items()}
        parts |= {name: ocp.args.JsonSave(value) for name, value in values.items()}
        self._threads = set(threading.enumerate())
        self._manager.save(step, args=ocp.args.Composite(**parts), force=True)

    def restore(self, step: int, templates: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """Parts of arrays, on the devices that their templates name; None for one that is absent."""
        parts = {name: ocp.args.StandardRestore(tree) for name, tree in templates.items()}
        read = self._manager.restore(step, args=ocp.args.Composite(**parts))
        return {name: read.get(name) for name in templates}

    def array_metadata(self, step: int, names: Collection[str]) -> dict[str, PyTree]:
        """Trees with the shapes and types of the arrays that are there."""
        parts = self._manager.item_metadata(step)
        return {name: parts[name] for name in names}

    def is_saving(self) -> bool:
        """Whether a save is still being written."""
        saving: bool = self._manager.is_saving_in_progress()
        return saving

    def wait(self) -> None:
        """Returns when a save is on the disk, and raises what went wrong in it."""
        self._manager.wait_until_finished()

    def let_writes_end(self) -> None:
        """Waits for what a failed save writes on, into a folder that is to be cleared away."""
        deadline = time.monotonic() + _MOST_SECONDS
        for thread in threads_of_a_save(self._threads):
            # Its own `join` raises the thread's error.
            threading.Thread.join(thread, max(0.0, deadline - time.monotonic()))

    def delete(self, step: int) -> None:
        """Deletes a step."""
        self._manager.delete(step)

    def reload(self) -> None:
        """Looks again at what there is."""
        self._manager.reload()

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()


class _Kept(ocp.checkpoint_managers.PreservationPolicy):
    """Asks a function which checkpoints stay."""

    def __init__(self, kept: Callable[[Collection[int]], Collection[int]]) -> None:
        self._kept = kept

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """One answer a checkpoint."""
        del context
        steps = [info.step for info in checkpoints]
        kept = self._kept(steps)
        return [step in kept for step in steps]


def is_complete(folder: Path, step: int) -> bool:
    """Whether Orbax has finished writing a checkpoint: it notes the time of that last."""
    with log_hushed():
        try:
            found = ocp.path.step.standard_name_format().find_step(folder, step)
            return found.commit_timestamp_nsecs is not None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False


def read_json(folder: Path, step: int, name: str) -> Any:
    """A part that is JSON; a store would wait for the other processes."""
    return ocp.JsonCheckpointHandler().restore(folder / str(step) / name)


def threads_of_a_save(before: Collection[threading.Thread]) -> list[threading.Thread]:
    """Threads that write a save, which Orbax gives up when one of them fails, and does not wait for.

    Args:
        before: the threads that there were before the save.
    """
    return [
        thread
        for thread in set(threading.enumerate()) - set(before)
        if type(thread).__module__.startswith("orbax.")
    ]


@contextmanager
def log_hushed() -> Iterator[None]:
    """For a while, no lines of Orbax in absl's log; other lines pass.

    It logs, with tracebacks, errors that it raises as well.
    """
    logger = logging.get_absl_logger()
    logger.addFilter(_is_not_of_orbax)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_of_orbax)


def _is_not_of_orbax(record: standard.LogRecord) -> bool:
    return not Path(record.pathname).is_relative_to(_PACKAGE)
