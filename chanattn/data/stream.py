"""Batches in order, computed ahead by threads or by worker processes, through Grain."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from chanattn.cores import usable_cores
from chanattn.data.batches import HostBatch
from chanattn.data.decode import settle_opencv
from chanattn.errors import UsageError
from chanattn.streams import STOPPING

_AHEAD = 2  # Finished batches each worker, or each thread, may have waiting.
_MAX_THREADS = 16
_SHARED_MEMORY = Path("/dev/shm")  # where the batches of workers lie, on Linux


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
    import grain  # brings Orbax and its log, so only when it is wanted
    from absl import flags

    # Grain asks its absl flags, which nobody parses outside of absl programs; other flags are not ours.
    for name in flags.FLAGS:
        if name.startswith("grain_"):
            flags.FLAGS[name].present = 1
    threads = min(usable_cores(), _MAX_THREADS) if workers == 0 else 1
    return iter(
        grain.MapDataset.source(batches)[start:stop]
        .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1))
        .mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD),
            worker_init_fn=_start_worker,
        )
    )


def shared_memory(batch_bytes: int, workers: int) -> int:
    """The most bytes of shared memory that a stream takes.

    A worker has `_AHEAD` batches waiting in its queue and as many in a thread that reads it, one between the
    two, and one that it writes; the consumer has one, and another may not be freed yet.
    """
    return batch_bytes * (workers * (2 * _AHEAD + 2) + 2) if workers else 0


def check_shared_memory(needed: int) -> None:
    """Raises UsageError if there is too little: a worker that writes more dies without a word, by SIGBUS."""
    if needed and _SHARED_MEMORY.is_dir():
        free = _free()
        if free < needed:
            raise UsageError(
                f"the data workers need up to {_mega(needed)} of shared memory, and {_SHARED_MEMORY} has "
                f"{_mega(free)} free: {_REMEDY}"
            )


def explained(error: BaseException) -> BaseException:
    """An error of the workers, in words where there are any: of one that was ended by SIGBUS."""
    if isinstance(error, RuntimeError) and f"exit code {-signal.SIGBUS}." in str(error):
        free = f", which has {_mega(_free())} free now" if _SHARED_MEMORY.is_dir() else ""
        return UsageError(
            f"a data worker was ended by SIGBUS: most likely there is too little shared memory in "
            f"{_SHARED_MEMORY}{free}: {_REMEDY}"
        )
    return error


_REMEDY = (
    "set config.dataset.workers to fewer, or to 0 for threads, or give the container more "
    "(docker run --shm-size=2g)"
)


def _free() -> int:
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_bavail * status.f_frsize


def _mega(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _start_worker(index: int, count: int) -> None:
    """Prepares a worker process for the signals and the end of its parent.

    Ctrl-C, a broken connection and a cluster's SIGTERM reach the whole process group; the parent saves its
    state first and then ends its workers itself. A parent that is killed cannot, so the worker watches it.
    """
    del index, count
    settle_opencv()
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
