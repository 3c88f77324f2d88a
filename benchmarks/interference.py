"""How much of the cores other processes took while something was measured.

Two sides in turns suffer alike from a slow machine, but not from a busy one: a thread that waits for another
at every layer loses far more than its share. So the share is written beside each result.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path


class Watch:
    """Counts processor time from its creation on; where there is no /proc, it knows nothing."""

    def __init__(self, processes: Sequence[int]) -> None:
        """`processes` are the ones whose time is not counted."""
        self._processes = processes
        self._start = time.monotonic()
        self._cores, self._others = self._now()

    def share(self) -> float | None:
        """Time of all other processes on our cores, over the time that these cores had; None if unknown."""
        elapsed = time.monotonic() - self._start
        cores, others = self._now()
        if not cores or cores != self._cores or not elapsed:
            return None
        return max(0.0, round((others - self._others) / (elapsed * cores), 3))

    def _now(self) -> tuple[int, float]:
        """Number of our cores, and seconds that others have used them since the machine started."""
        try:
            lines = [
                line.split() for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()
            ]
            names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
            ours = [line for line in lines if line[0] in names]
            busy = sum(_busy_ticks(line) for line in ours)
            busy -= sum(map(_process_ticks, self._processes))
        except (OSError, AttributeError):
            return 0, 0.0
        return len(ours), busy / os.sysconf("SC_CLK_TCK")


def _busy_ticks(line: Sequence[str]) -> int:
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, steal = map(int, line[1:9])
    return user + nice + system + interrupts + soft_interrupts + steal


def _process_ticks(pid: int) -> int:
    # The command's name may hold blanks; it ends at the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
