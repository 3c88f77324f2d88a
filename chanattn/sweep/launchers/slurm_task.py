"""What a job of Slurm does: start the worker, pass on what Slurm signals, and ask to be queued again."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from chanattn.cli import PREEMPTED
from chanattn.sweep.watch import Outcome, Watch

_PAUSE = 0.2  # seconds
_PATIENCE = 60  # seconds for an answer of squeue


class Task:
    """A worker as submitit runs it; calling it returns what became of the worker.

    submitit pickles it, calls it in the job, and calls `checkpoint` when Slurm announces the end of the job's
    time (https://github.com/facebookincubator/submitit/blob/main/docs/checkpointing.md).

    Args:
        command: of the worker.
        log: file that its output is appended to.
        stall: see `Watch`.
    """

    # Of tasks that an earlier version has queued.
    _stall = 0.0
    _watch: Watch | None = None

    def __init__(self, command: Sequence[str], log: Path, stall: float = 0.0) -> None:
        self._command = list(command)
        self._log, self._stall = log, stall
        self._worker: subprocess.Popen[bytes] | None = None
        self._watch = None
        self._told_to_stop = False

    def __call__(self) -> Outcome:
        """Computes the run, or continues it."""
        signal.signal(signal.SIGTERM, self._stop)
        # Slurm signals every process of a job. The announcement is submitit's alone: it would end the worker,
        # which knows SIGTERM only, without saving. What is blocked here stays so in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, {_announcement()})
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, env=_environment()
            )
        watch = self._watch = Watch(self._worker, self._log.parent, self._stall)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_announcement()})
        if self._told_to_stop:
            watch.stop()
        while (outcome := watch.poll()) is None:
            time.sleep(_PAUSE)
        if outcome == PREEMPTED and self._told_to_stop and _slurm_state() == "RUNNING":
            # SIGTERM, but no scancel: Slurm takes the node away. It requeues what it has to kill, but not a
            # job that ends in time, as this one does. submitit requeues it when told in its own way.
            os.kill(os.getpid(), _announcement())
        return outcome

    def checkpoint(self) -> Any:
        """Has the worker save, and tells submitit to queue this task again."""
        from submitit.helpers import DelayedSubmission

        if self._worker is not None and self._watch is not None:
            self._watch.stop()
            _await_end(self._worker)
        return DelayedSubmission(Task(self._command, self._log, self._stall))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told_to_stop = True
        if self._watch is not None:
            self._watch.stop()


def _environment() -> dict[str, str]:
    """The job's own, with as many threads as it has cores: not every Slurm confines a job to them."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK")
    return {"OMP_NUM_THREADS": cores, **os.environ} if cores else dict(os.environ)


def _await_end(worker: subprocess.Popen[bytes]) -> None:
    """Waits without `Popen.wait`, whose lock a signal handler that waits too would never get."""
    try:
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:  # it has been waited for already
        return


def _announcement() -> signal.Signals:
    """The signal that submitit asks Slurm for before the end, SIGUSR2 unless the user has chosen another."""
    from submitit.core.job_environment import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def _slurm_state() -> str:
    """State of the job that this process belongs to; empty outside of Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm" or job is None:
        return ""
    question = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        answer = subprocess.run(
            question, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.SubprocessError:
        return ""
    return answer.stdout.strip()
