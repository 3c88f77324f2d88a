"""Moves batches to the devices ahead of the step that needs them."""

import queue
import threading
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from chanattn.data import placement
from chanattn.data.corrupt import CorruptCount
from chanattn.data.decode import Decoding
from chanattn.data.stream import HostStream, explained

_AHEAD = 2  # Batches that wait in device memory.
_POLL_SECONDS = 0.2


class Prefetch:
    """An iterator over batches on the mesh, filled by a thread.

    Errors of the thread, such as too many corrupt pictures or a worker that died, are raised in the iterating
    thread.
    """

    def __init__(self, batches: HostStream, corrupt: CorruptCount, batch_size: int, mesh: Mesh):
        self._batches = batches
        self._corrupt = corrupt
        self._batch_size = batch_size
        self._mesh = mesh
        self._ready: queue.Queue[dict[str, jax.Array] | BaseException] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Prefetch":
        return self

    def __next__(self) -> dict[str, jax.Array]:
        if self._end is not None:
            raise self._end
        item = self._ready.get()
        if isinstance(item, BaseException):
            self.close()
            self._end = item
            raise item
        return item

    def close(self) -> None:
        """Ends the thread and the processes behind it; harmless when repeated."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        if self._end is None:
            self._end = StopIteration()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _fill(self) -> None:
        with Decoding():
            try:
                self._fill_queue()
            except BaseException as error:  # Raised again by the iterating thread.
                self._put(explained(error))
            finally:
                self._batches.close()

    def _fill_queue(self) -> None:
        while not self._stop.is_set():
            # Copied out of the shared memory of a worker: JAX may use an array where it lies.
            batch = {name: np.array(rows) for name, rows in next(self._batches).items()}
            self._corrupt.add(batch.pop("corrupt"))
            self._put(placement.put_batch(batch, self._batch_size, self._mesh))

    def _put(self, item: dict[str, jax.Array] | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
