"""What ends a thread beside the training, which would go on as if nothing had been."""

import threading
from types import TracebackType
from typing import Self

from chanattn.errors import RunFailed


class WorkerErrors:
    """Notes the first error that any thread of the process dies of while its `with` block runs.

    Python prints the thread's traceback as ever.
    """

    def __init__(self) -> None:
        self._first: threading.ExceptHookArgs | None = None

    def __enter__(self) -> Self:
        self._before = threading.excepthook
        threading.excepthook = self._note
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        threading.excepthook = self._before

    def check(self) -> None:
        """Raises what has ended a thread, if anything has.

        Raises:
            RunFailed: a thread has died.
        """
        if self._first is not None:
            thread, error = self._first.thread, self._first.exc_value
            name = thread.name if thread is not None else "of an unknown name"
            raise RunFailed(
                f"the thread {name} has failed ({type(error).__name__}: {error})"
            ) from error

    def _note(self, arguments: threading.ExceptHookArgs) -> None:
        if self._first is None and arguments.exc_type is not SystemExit:
            self._first = arguments
        self._before(arguments)
