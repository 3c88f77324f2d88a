"""The processor cores of this process."""

import contextlib
import os

from chanattn import limits

CORES = "CHANATTN_CORES"
"""Environment variable with the numbers of the cores that `confine` leaves to a process: "0,1"."""


def usable_cores() -> int:
    """How many cores this process may use, or how many cores' time if that is less."""
    own = len(core_numbers())
    return min(own, limits.processors() or own)


def core_numbers() -> list[int]:
    """The numbers of the cores that this process may use, as the system counts them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def use_cores(number: int) -> None:
    """Confines this process, and those it starts, to the first `number` of its cores; 0: all of them.

    JAX has no number of threads to set: it starts one a core that it may use. So call it first.

    Raises:
        ValueError: there are not that many, or the system cannot do it.
    """
    own = core_numbers()
    if not number or number == len(own):
        return
    if number > len(own) or not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"this process cannot be given {number} of its {len(own)} cores")
    os.sched_setaffinity(0, own[:number])


def confine() -> None:
    """Confines this process to the cores that `CORES` names, if these are its own; else to none.

    Threads that have begun keep the cores that they may use. So call it first.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.sched_setaffinity(0, [int(core) for core in os.environ.get(CORES, "").split(",")])
