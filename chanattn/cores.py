"""The processor cores of this process."""

import os


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cores(number: int) -> None:
    """Confines this process, and those it starts, to the first `number` of its cores; 0: all of them.

    JAX has no number of threads to set: it starts one a core that it may use. So call it first.

    Raises:
        ValueError: there are not that many, or the system cannot do it.
    """
    if not number or number == usable_cores():
        return
    if number > usable_cores() or not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"this process cannot be given {number} of its {usable_cores()} cores")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])
