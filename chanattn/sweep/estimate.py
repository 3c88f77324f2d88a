"""How long the rest of a sweep will take, from what its runs have shown so far."""

import dataclasses
import statistics
from collections.abc import Sequence

from chanattn.sweep.status import Status


@dataclasses.dataclass(frozen=True)
class Progress:
    """One run, as far as time is concerned.

    Attributes:
        variant: runs of one variant take equally long.
        status: where it stands.
        total_steps: of the whole training.
        elapsed: seconds since its worker was started; None: it has none.
        begun_at: the step from which that worker started.
    """

    variant: str
    status: Status
    total_steps: int
    elapsed: float | None = None
    begun_at: int = 0


def seconds_left(runs: Sequence[Progress], workers: int) -> float | None:
    """Seconds until all runs are done that have not failed; None while nothing is known.

    A run that waits takes as long as the newest of its variant that is done (the first has compiled for the
    others), else as those of others, else as one that is under way: the time before its first step, and its
    speed since.

    Args:
        runs: all of the sweep.
        workers: runs at a time.
    """
    lengths = whole_runs(runs)
    mean = statistics.fmean(lengths.values()) if lengths else None
    left = []
    for run in runs:
        if run.status.state in {"done", "failed"}:
            continue
        share = 1 - run.status.step / run.total_steps
        rate = run.status.steps_per_second
        if run.elapsed is not None and rate and run.status.step > run.begun_at:
            left.append(share * run.total_steps / rate)
        elif mean is not None:
            left.append(share * lengths.get(run.variant, mean))
        else:
            return None
    return max(sum(left) / max(1, workers), *left, 0.0)


def whole_runs(runs: Sequence[Progress]) -> dict[str, float]:
    """Seconds of a whole run, by variant: of the newest that is done, or else expected of one under way."""
    done = {run.variant: run.status.seconds for run in runs if run.status.seconds is not None}
    if done:
        return done
    for run in runs:
        rate, steps = run.status.steps_per_second, run.status.step - run.begun_at
        if run.elapsed is not None and rate and steps > 0:
            start = max(0.0, run.elapsed - steps / rate)
            done[run.variant] = start + run.total_steps / rate
    return done
