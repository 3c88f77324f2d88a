"""What the files of a run say about it: done, failed, how far, how good. Reads only."""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.watch import OUTPUT
from chanattn.training.run_directory import METRICS, SUMMARY, write_json

FAILED = "failed.json"
_TAIL = 16_384  # bytes of a file's end that are read
_LAST_LINES = 8


@dataclasses.dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        state: "waiting", "stopped" (begun, not done), "done" or "failed"; whether it runs, only its launcher
            knows.
        step: of its newest metrics.
        loss: of the training, there.
        top1: accuracy in [0, 1] on the test split, of the averaged weights where there are any.
        steps_per_second: of the training, lately.
        seconds: wall clock of a run that is done.
    """

    state: str = "waiting"
    step: int = 0
    loss: float | None = None
    top1: float | None = None
    steps_per_second: float | None = None
    seconds: float | None = None


def status(job: Job) -> Status:
    """The status of a run."""
    summary = _object(job.workdir / SUMMARY)
    lines = _tail_of_metrics(job.workdir)
    train: dict[str, Any] = next((line for line in reversed(lines) if line["split"] == "train"), {})
    results = {line["split"]: line for line in lines if line["split"] != "train"}
    test = results.get("ema", results.get("test", {}))
    if summary is not None:
        final = summary["final"]
        test = final.get("ema", final.get("test", {}))
        state, step, seconds = "done", summary["steps"], summary["seconds"]
    else:
        begun = "stopped" if lines else "waiting"
        state = "failed" if (job.workdir / FAILED).exists() else begun
        step, seconds = (lines[-1]["step"] if lines else 0), None
    return Status(
        state, step, train.get("loss"), test.get("top1"), train.get("steps_per_second"), seconds
    )


def is_done(job: Job) -> bool:
    """Whether the run has ended well."""
    return (job.workdir / SUMMARY).exists()


def mark_failed(ended: Ended) -> None:
    """Notes a failure in the run directory, for later starts of the sweep and for its report."""
    ended.job.workdir.mkdir(parents=True, exist_ok=True)
    write_json(
        ended.job.workdir / FAILED,
        {
            "code": ended.code,
            "detail": ended.detail,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "last_lines": last_lines(ended.job),
        },
    )


def unmark_failed(job: Job) -> None:
    """Forgets a failure, because the run is tried again."""
    (job.workdir / FAILED).unlink(missing_ok=True)


def failure(job: Job) -> dict[str, Any] | None:
    """What `mark_failed` has noted; None if the run has not failed, or is done since."""
    return None if is_done(job) else _object(job.workdir / FAILED)


def describe_failure(noted: Mapping[str, Any]) -> str:
    """In a few words: `exit code 1`, `killed by SIGKILL`."""
    return noted["detail"] or f"exit code {noted['code']}"


def last_lines(job: Job) -> list[str]:
    """The end of what the run has printed, without blank lines."""
    lines = _tail(job.workdir / OUTPUT).decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-_LAST_LINES:]


def _tail_of_metrics(workdir: Path) -> list[dict[str, Any]]:
    lines = []
    # The first line may be cut by the tail, the last by a process that was killed.
    for text in _tail(workdir / METRICS).splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read()
    except OSError:
        return b""


def _object(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
