"""The threads of OpenMP that help one of XLA's, each kept on a core of its own."""

import contextlib
import ctypes
import functools
import os
import threading

from chanattn.onednn import library as dnnl

_CHOSEN_BY_USER = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")


class Team:
    """The helpers of the thread that makes it, which sleep between two operations.

    XLA's threads look for work for a while before they sleep. Linux then finds no idle core for a helper
    that wakes, and may put it on the core of the thread that wakes it: the two halves of an operation run
    one after the other. A helper that is bound to another core starts there.
    """

    def __init__(self) -> None:
        self._tids: dict[int, int] = {}  # core -> helper
        self._core = -1  # of the thread itself, when last seen

    def spread(self) -> None:
        """Binds each helper to a core other than the one on which the thread, the caller, runs now.

        Does nothing where the helpers and the thread are fewer or more than the cores of the process, or the
        user has bound them.
        """
        cores = _cores()
        core = _libc().sched_getcpu() if cores else self._core
        if core == self._core:
            return
        if not self._tids:
            self._tids = dict(zip(cores - {core}, _helpers(), strict=False))
            moved = dict(self._tids)
        else:
            moved = {self._core: self._tids.pop(core)} if core in self._tids else {}
            self._tids.update(moved)
        self._core = core
        with contextlib.suppress(OSError):  # a helper that has ended, or a core that was taken away
            for place, tid in moved.items():
                os.sched_setaffinity(tid, {place})


@functools.cache
def _cores() -> frozenset[int]:
    """The cores of the process if OpenMP uses them all and nobody has bound its threads; else none."""
    cores = os.sched_getaffinity(os.getpid())
    if len(cores) != dnnl.cores() or any(name in os.environ for name in _CHOSEN_BY_USER):
        return frozenset()
    return frozenset(cores)


def _helpers() -> list[int]:
    """The thread ids of those that run with the caller, which stay for its next operations."""
    found: list[int] = []
    region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
        lambda _: found.append(threading.get_native_id())
    )
    # What a compiler makes of "#pragma omp parallel": https://gcc.gnu.org/onlinedocs/libgomp/
    dnnl.openmp().GOMP_parallel(region, None, dnnl.cores(), 0)
    return [tid for tid in found if tid != threading.get_native_id()]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
