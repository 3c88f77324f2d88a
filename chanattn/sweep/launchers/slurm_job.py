"""What a job of Slurm does: compute runs of the sweep until its time is nearly over or none is left.

    python -m chanattn.sweep.launchers.slurm_job FOLDER EXECUTOR SECONDS STALL_SECONDS PROGRAM...

FOLDER holds the logs of the sweep's jobs and its runs, see `slurm_runs`; PROGRAM starts a worker. SECONDS is
how long this start of the job has until the end of its time is announced; 0: unknown. A process that acts as
a job (EXECUTOR "local") announces it to itself. Then the run under way saves, and the job is queued again
with it.
"""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from chanattn.cli import FAILED, PREEMPTED
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm_runs import WAITING, Runs
from chanattn.sweep.place import LINGER, Place
from chanattn.sweep.staying import Staying

# The job's time is over soon: `sbatch --signal` says by which of these Slurm tells.
_ANNOUNCEMENTS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
_PAUSE = 0.2  # seconds
_PATIENCE = 60  # seconds for an answer of Slurm


def main() -> None:
    """Computes runs, first the one that this job had when it was queued again."""
    folder, executor, seconds, stall, *program = sys.argv[1:]
    acts = executor == "local"
    number = str(os.getpid()) if acts else os.environ["SLURM_JOB_ID"]
    # Slurm signals every process of a job, but the worker is to be told once it knows how to save. What is
    # blocked here stays so in the child. Some kinds of Slurm know the processes of a job by their session.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ANNOUNCEMENTS)
    if acts:
        signal.alarm(int(seconds))
    # Not every Slurm confines a job to its cores.
    cores = os.environ.get("SLURM_CPUS_PER_TASK")
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", cores)} if cores else {}
    runs = Runs(Path(folder))
    start = partial(Staying, variables=threads, stall=float(stall), program=program, session=False)
    place = Place(start)
    job = _Job(runs, number, place, float(seconds))
    interrupted = job.work()
    place.close()
    if interrupted is not None or job.leaves_runs():
        if acts and signal.SIGTERM not in job.told:
            signal.alarm(0)
            signal.sigtimedwait(_ANNOUNCEMENTS, 0)  # which is not for the next start
            os.execv(sys.executable, sys.orig_argv)
        if not acts and _queued_again(number, job.told):
            return
    if interrupted is not None:
        runs.end(number, interrupted)
    sys.exit(FAILED if job.failed else 0)


class _Job:
    """One start of a job.

    Attributes:
        told: signals that it got.
        failed: whether a run has.

    Args:
        runs: of the sweep.
        number: of the job.
        place: where it computes them.
        seconds: until the end of its time is announced; 0: unknown.
    """

    def __init__(self, runs: Runs, number: str, place: Place, seconds: float) -> None:
        self.told = set[int]()
        self.failed = False
        self._runs, self._number, self._place = runs, number, place
        self._end = time.monotonic() + seconds if seconds else None
        self._longest: float | None = None  # of the runs so far, in seconds
        signal.signal(signal.SIGTERM, lambda number, frame: self.told.add(number))

    def work(self) -> Ended | None:
        """Computes runs; returns how the last one ended if it was interrupted and saved."""
        job = self._next()
        self._runs.begin(self._number)
        while job is not None:
            ended = self._compute(job)
            # SIGTERM ends a worker that does not know yet how to save.
            if self.told and ended in (
                Ended(job, PREEMPTED),
                Ended.of_worker(job, -signal.SIGTERM),
            ):
                return ended
            self._runs.end(self._number, ended)
            self.failed |= ended.code not in (0, PREEMPTED)
            job = self._next()
        return None

    def leaves_runs(self) -> bool:
        """Whether runs wait for which the time has not sufficed."""
        return bool(self.told or self._nearly_over()) and WAITING in self._runs.states().values()

    def _next(self) -> Job | None:
        """A run to compute; None if there has been none for a while, or the time does not suffice for it."""
        job = self._runs.taken(self._number)
        if job is not None:
            return job
        end = time.monotonic() + LINGER
        while not (self.told or self._nearly_over()):
            job = self._runs.take(self._number, self._place)
            if job is not None or time.monotonic() > end:
                return job
            self._place.poll()
            self._wait()
        return None

    def _nearly_over(self) -> bool:
        """Whether less time is left than the longest run so far took, so that another would be cut in two."""
        if self._end is None or self._longest is None:
            return False
        return self._end - time.monotonic() < self._longest

    def _compute(self, job: Job) -> Ended:
        began = time.monotonic()
        print(f"{time.strftime('%F %T')} {job.name}", flush=True)
        self._place.give(job)
        while (ended := self._place.poll()) is None:
            if self.told or self._runs.must_stop(job):
                self._place.stop()
            self._wait()
        told = f"exit code {ended.code}" if ended.code is not None else ended.detail
        print(f"{time.strftime('%F %T')} {job.name}: {told}", flush=True)
        self._longest = max(time.monotonic() - began, self._longest or 0.0)
        return ended

    def _wait(self) -> None:
        """A moment, or until something is announced."""
        announced = signal.sigtimedwait(_ANNOUNCEMENTS, _PAUSE)
        if announced is not None:
            self.told.add(announced.si_signo)


def _queued_again(job: str, told: set[int]) -> bool:
    """Has Slurm start this job once more, unless it was cancelled; whether that went well."""
    if signal.SIGTERM in told:
        # SIGTERM to a job that keeps running is no scancel: Slurm takes the node away. It requeues what it
        # has to kill, but not a job that ends in time, as this one does.
        state = _slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}")
        if state != "RUNNING":
            return False
    return _slurm("scontrol", "requeue", job) is not None


def _slurm(*command: str) -> str | None:
    """What a program of Slurm answers; None if it fails."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        return None
    return answer.stdout.strip()


if __name__ == "__main__":
    main()
