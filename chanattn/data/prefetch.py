"""Moves batches to the devices ahead of the step that needs them."""

import multiprocessing
import queue
import threading
import time
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
_PATIENCE = 10.0  # seconds that Grain has to tell of a worker that died


class Prefetch:
    """An iterator over batches on the mesh, filled by a thread.

    Errors of the thread, such as too many corrupt pictures or a worker that died, are raised in the iterating
    thread. A worker that is killed while it holds a lock of Grain's leaves the thread waiting for ever:
    the iterating thread notices that by itself, and leaves the other there.
    """

    def __init__(self, batches: HostStream, corrupt: CorruptCount, batch_size: int, mesh: Mesh):
        self._batches = batches
        self._corrupt = corrupt
        self._batch_size = batch_size
        self._mesh = mesh
        self._ready: queue.Queue[dict[str, jax.Array] | BaseException] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._end: BaseException | None = None
        self._others = set(multiprocessing.active_children())
        self._workers = set[multiprocessing.process.BaseProcess]()
        self._begun = False
        self._died: float | None = None
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Prefetch":
        return self

    def __next__(self) -> dict[str, jax.Array]:
        if self._end is not None:
            raise self._end
        item = self._next()
        if isinstance(item, BaseException):
            self.close()
            self._end = item
            raise item
        return item

    def close(self) -> None:
        """Ends the thread and the processes behind it; harmless when repeated."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            while self._thread.is_alive() and self._lost() is None:
                self._thread.join(_POLL_SECONDS)
            if self._thread.is_alive():
                for worker in self._workers:
                    worker.kill()
        if self._end is None:
            self._end = StopIteration()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _next(self) -> dict[str, jax.Array] | BaseException:
        while True:
            try:
                return self._ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if (lost := self._lost()) is not None:
                    return explained(lost)

    def _lost(self) -> RuntimeError | None:
        """The error, in Grain's words, if a worker died a while ago."""
        self._look_for_workers()
        codes = [worker.exitcode for worker in self._workers if worker.exitcode]
        if not codes:
            return None
        if self._died is None:
            self._died = time.monotonic()
        if time.monotonic() - self._died < _PATIENCE:
            return None
        return RuntimeError(
            f"Worker process was terminated unexpectedly with exit code {codes[0]}."
        )

    def _look_for_workers(self) -> None:
        """Notes the processes that Grain starts for the first batch; later ones are of other streams."""
        if not self._begun:
            active = set(multiprocessing.active_children())
            self._workers = self._workers | (
                active - self._others
            )  # the other thread may go through it

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
            self._look_for_workers()
            self._begun = True
            self._corrupt.add(batch.pop("corrupt"))
            self._put(placement.put_batch(batch, self._batch_size, self._mesh))

    def _put(self, item: dict[str, jax.Array] | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
