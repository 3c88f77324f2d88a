"""What the files of a run say about it: done, failed, how far, how good. Reads only, but for failures."""

import dataclasses
import time

from chanattn.runs import failure as failures
from chanattn.runs import summary as summaries
from chanattn.runs.failure import Failure
from chanattn.runs.json_object import number
from chanattn.runs.layout import FAILED
from chanattn.runs.metric import Metric
from chanattn.runs.metrics_log import TRAIN, deciding, newest_lines
from chanattn.runs.run import metrics_of
from chanattn.runs.summary import Summary
from chanattn.sweep.launchers.base import Ended, Job


@dataclasses.dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        state: "waiting", "stopped" (begun, not done), "done" or "failed"; whether it runs, only its launcher
            knows.
        step: of its newest metrics.
        loss: of the training, there.
        result: of the newest evaluation, of the averaged weights where there are any: a value of `metric`.
        metric: the one that decides which of two runs is the better; None before there is a result.
        steps_per_second: of the training, lately.
        seconds: wall clock of a run that is done.
    """

    state: str = "waiting"
    step: int = 0
    loss: float | None = None
    result: float | None = None
    metric: Metric | None = None
    steps_per_second: float | None = None
    seconds: float | None = None


def status(job: Job) -> Status:
    """The status of a run."""
    summary = Summary.read(job.workdir)
    lines = newest_lines(job.workdir)
    train = next((line for line in reversed(lines) if line.split == TRAIN), None)
    results = {line.split: line.values for line in lines if line.split != TRAIN}
    if summary is not None:
        results = dict(summary.final)
        state, step, seconds = "done", summary.steps or 0, summary.seconds
    else:
        begun = "stopped" if lines else "waiting"
        state = "failed" if (job.workdir / FAILED).exists() else begun
        step, seconds = (lines[-1].step if lines else 0), None
    judged = deciding(results)
    metric = None if judged is None else metrics_of(job.workdir)[0]
    return Status(
        state=state,
        step=step,
        loss=None if train is None else train.value("loss"),
        result=None if judged is None or metric is None else number(judged.get(metric.name)),
        metric=metric,
        steps_per_second=None if train is None else train.value("steps_per_second"),
        seconds=seconds,
    )


def is_done(job: Job) -> bool:
    """Whether the run has ended well."""
    return summaries.is_done(job.workdir)


def mark_failed(ended: Ended) -> None:
    """Notes a failure in the run directory, for later starts of the sweep and for its report."""
    Failure(
        code=ended.code,
        detail=ended.detail,
        last_lines=last_lines(ended.job),
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    ).write(ended.job.workdir)


def unmark_failed(job: Job) -> None:
    """Forgets a failure, because the run is tried again."""
    (job.workdir / FAILED).unlink(missing_ok=True)


def failure(job: Job) -> Failure | None:
    """What `mark_failed` has noted; None if the run has not failed, or is done since."""
    return None if is_done(job) else Failure.read(job.workdir)


def last_lines(job: Job) -> tuple[str, ...]:
    """The end of what the run has printed, without blank lines."""
    return failures.last_lines(job.workdir)
