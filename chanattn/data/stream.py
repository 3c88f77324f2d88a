"""Batches in order, computed ahead by threads or by worker processes, through Grain."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from typing import Protocol

import grain
from absl import flags

from chanattn.data.batches import HostBatch
from chanattn.streams import STOPPING

_AHEAD = 2  # Finished batches each worker, or each thread, may have waiting.
_MAX_THREADS = 16


class RandomAccessBatches(Protocol):
    """Batches by number; picklable."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> HostBatch: ...


class HostStream(Protocol):
    """An iterator that must be closed."""

    def __next__(self) -> HostBatch: ...

    def close(self) -> None:
        """Ends what computes the batches."""


def stream(batches: RandomAccessBatches, start: int, stop: int | None, workers: int) -> HostStream:
    """Batches `start`, `start + 1`, ... up to `stop`, the same whatever the number of workers.

    Args:
        batches: What computes a batch from its number; starting in the middle costs nothing.
        start: Number of the first one.
        stop: Number after the last one; None: as many as there are.
        workers: Processes that compute; 0: threads of this process.
    """
    if workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain asks its absl flags; outside absl programs nobody parses them.
    threads = max(1, min(os.cpu_count() or 1, _MAX_THREADS)) if workers == 0 else 1
    return iter(
        grain.MapDataset.source(batches)[start:stop]
        .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1))
        .mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=workers, per_worker_buffer_size=_AHEAD, enable_profiling=False
            ),
            worker_init_fn=_start_worker,
        )
    )


def _start_worker(index: int, count: int) -> None:
    """Prepares a worker process for the signals and the end of its parent.

    Ctrl-C, a broken connection and a cluster's SIGTERM reach the whole process group; the parent saves its
    state first and then ends its workers itself. A parent that is killed cannot, so the worker watches it.
    """
    del index, count
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
