"""What a container or a batch system leaves this process of the machine, by Linux's control groups.

A container with two of a machine's 64 processors sees all 64 and all of its memory. Threads for every one of
them would use up its time in a moment and stand still for the rest of each tenth of a second.
"""

import math
from collections.abc import Iterator
from pathlib import Path

_OWN, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def processors() -> int | None:
    """How many processors' time this process may use at most, rounded up; None: nothing says so.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (`cpu.max`) and
    https://docs.kernel.org/scheduler/sched-bwc.html (version 1).
    """
    shares = []
    for folder in _folders("cpu"):
        pair = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"),
            *_numbers(folder / "cpu.cfs_period_us"),
        ]
        if len(pair) == 2 and min(pair) > 0:
            shares.append(pair[0] / pair[1])
    return max(1, math.ceil(min(shares))) if shares else None


def memory() -> int | None:
    """How many bytes of main memory this process may use at most, with those beside it; None: as above."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [_numbers(folder / name) for folder in _folders("memory") for name in names]
    return min((number for numbers in found for number in numbers), default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the groups of this process, its own and all around it, of version 1 or 2."""
    try:
        lines = _OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _GROUPS / controller if controllers else _GROUPS
        own = root / group.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _numbers(file: Path) -> list[int]:
    """The whole numbers in a file: none where a limit is called "max", or there is no such file."""
    try:
        return [int(word) for word in file.read_text(encoding="utf-8").split() if word != "max"]
    except OSError:
        return []
