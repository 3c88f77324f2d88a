"""Runs as jobs of Slurm (https://slurm.schedmd.com), one each.

A job that is preempted or reaches its time limit saves and is queued again under its number, whether or not
the sweep is there to see it. Slurm's own list of jobs is what a sweep goes by, never a note of its own: a job
carries the name of its run directory, so a sweep that was killed finds its jobs again when it is started, and
no run is computed twice.
"""

import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from chanattn.cli import PREEMPTED
from chanattn.errors import UsageError
from chanattn.streams import say
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm_job import outcome
from chanattn.sweep.launchers.slurm_queue import (
    Entry,
    Processes,
    Queue,
    Refused,
    Request,
    Squeue,
)
from chanattn.sweep.worker import command

EXECUTORS = ("slurm", "local")

PARTITION = flags.DEFINE_string("slurm_partition", "", "partition; default: the cluster's")
MINUTES = flags.DEFINE_integer(
    "slurm_time",
    60,
    "minutes of a job, after which its run saves and is queued again",
    lower_bound=1,
)
GPUS = flags.DEFINE_integer("slurm_gpus", 0, "GPUs of a job", lower_bound=0)
CPUS = flags.DEFINE_integer("slurm_cpus", 1, "cores of a job", lower_bound=1)
MEMORY = flags.DEFINE_string("slurm_memory", "", "memory of a job, as 8G; default: the cluster's")
OPTIONS = flags.DEFINE_multi_string(
    "slurm_option",
    [],
    "KEY=VALUE or KEY: a further option of sbatch; may be repeated",
)
EXECUTOR = flags.DEFINE_enum(
    "slurm_executor", "slurm", EXECUTORS, "local: processes of this machine, to try things out"
)

_RETRY_SUBMISSION = 30.0  # seconds
_CLOSING = 120.0  # seconds; Slurm itself kills what it cancels after its KillWait, 30 by default


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Slurm":
    """See `chanattn.sweep.launchers.create`."""
    given = [option.partition("=") for option in OPTIONS.value]
    if not all(name for name, _, _ in given):
        raise UsageError("--slurm_option needs a name: KEY=VALUE or KEY")
    if EXECUTOR.value == "local":
        idle = [flag for flag in (PARTITION, CPUS, MEMORY, OPTIONS) if flag.present]
        if idle:
            names = ", ".join(f"--{flag.name}" for flag in idle)
            say(f"--slurm_executor=local: the processes of this machine take no notice of {names}")
    request = Request(
        partition=PARTITION.value,
        minutes=MINUTES.value,
        gpus=GPUS.value,
        cpus=CPUS.value,
        memory=MEMORY.value,
        options={name: value for name, _, value in given},
    )
    return Slurm(sweep, request, EXECUTOR.value, parallel=parallel, stall=stall)


class Slurm:
    """Queues runs at Slurm, and watches them.

    Args:
        sweep: folder of the sweep; the logs go to its folder `slurm`.
        request: what each job asks for.
        executor: "slurm", or "local" for processes of this machine that act as jobs.
        parallel: jobs at a time; 0: Slurm gets all, and decides.
        stall: seconds that a worker may stand still; 0: for ever.
        every: seconds between two questions to Slurm.
        slow_files: seconds after which what a job wrote at its end is visible here.

    Raises:
        UsageError: Slurm does not answer, there is no such executor, or `sweep` is no path that it could use.
    """

    def __init__(
        self,
        sweep: Path,
        request: Request,
        executor: str = "slurm",
        *,
        parallel: int = 0,
        stall: float = 0.0,
        every: float = 5.0,
        slow_files: float = 15.0,
    ) -> None:
        if executor not in EXECUTORS:
            raise UsageError(
                f"unknown Slurm executor {executor!r}; there are {', '.join(EXECUTORS)}"
            )
        if "%" in str(sweep.absolute()):
            raise UsageError(
                f"Slurm takes % in a path for a pattern ({sweep}); choose another --workdir"
            )
        if executor == "slurm" and shutil.which("sbatch") is None:
            raise UsageError(
                "there is no sbatch in PATH, so this machine belongs to no Slurm cluster; choose"
                " --launcher=local, or --slurm_executor=local to try this one out"
            )
        self._sweep, self._logs = sweep.absolute(), sweep.absolute() / "slurm"
        self._parallel, self._stall, self._slow_files = parallel, stall, slow_files
        self._queue: Queue = (
            Processes(self._logs, request)
            if executor == "local"
            else Squeue(self._logs, request, every)
        )
        if self._queue.entries() is None:
            raise UsageError("Slurm does not answer: squeue fails here; see whether sinfo works")
        self._waiting: deque[Job] = deque()
        self._stopped: list[Ended] = []
        self._accepted = False
        self._try_again = 0.0
        self._numbers: dict[Job, str] = {}
        self._missing_since: dict[Job, float] = {}

    def submit(self, job: Job) -> None:
        """Queues a job, or takes up the one that an earlier process of the sweep has queued for its run.

        Raises:
            UsageError: Slurm refuses the first job.
        """
        self._waiting.append(job)
        self._hand_over()

    def poll(self) -> Sequence[Ended]:
        """The jobs that Slurm no longer has."""
        self._hand_over()
        entries = self._queue.entries()
        if entries is None:
            return []
        found, self._stopped = self._stopped, []
        known = {entry.number: entry for entry in entries}
        for job, number in list(self._numbers.items()):
            entry = known.get(number)
            if entry is not None and entry.alive:
                self._missing_since.pop(job, None)
                continue
            ended = self._ended(job, number, entry)
            if ended is not None:
                self._missing_since.pop(job, None)
                del self._numbers[job]
                found.append(ended)
        return found

    def running(self) -> Sequence[Job]:
        """The jobs that Slurm has started."""
        started = {entry.number for entry in self._queue.entries() or () if entry.running}
        return [job for job, number in self._numbers.items() if number in started]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`; of a job that had not begun, Slurm says so some seconds later."""
        if job in self._numbers:
            self._queue.cancel({self._numbers[job]})
        elif job in self._waiting:
            self._waiting.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))

    def close(self) -> None:
        """Cancels all jobs of this sweep, an earlier process's too, and waits until they have saved."""
        self._waiting.clear()
        deadline = time.monotonic() + _CLOSING
        cancelled: set[str] = set()
        while time.monotonic() < deadline:
            entries = self._queue.entries(fresh=True)
            if entries is not None:
                left = {entry.number for entry in entries if entry.alive}
                self._queue.cancel(left - cancelled)
                cancelled |= left
                if not left:
                    break
            time.sleep(0.5)
        self._numbers.clear()

    def _hand_over(self) -> None:
        """Submits what waits; when Slurm takes no more jobs for now, the rest waits here."""
        while self._waiting and time.monotonic() >= self._try_again:
            if self._parallel and len(self._numbers) >= self._parallel:
                return
            entries = self._queue.entries()
            if entries is None:  # whether the job is queued already is not known
                return
            job = self._waiting[0]
            run = self._run(job)
            queued = [entry.number for entry in entries if entry.alive and entry.run == run]
            number = queued[0] if queued else self._start(job)
            if number is None:
                return
            self._accepted = True
            self._waiting.popleft()
            self._numbers[job] = number

    def _start(self, job: Job) -> str | None:
        """The number of a new job; None if it is not accepted now."""
        folder = self._logs / self._run(job)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.json"):  # of earlier jobs; numbers are given out again some day
            path.unlink()
        try:
            return self._queue.submit(
                self._run(job), [str(job.workdir), str(self._stall), *command(job)]
            )
        except Refused as refusal:
            if not self._accepted:
                raise UsageError(f"Slurm refuses the job: {refusal}") from refusal
            self._try_again = time.monotonic() + _RETRY_SUBMISSION  # mostly a limit on queued jobs
            return None

    def _ended(self, job: Job, number: str, entry: Entry | None) -> Ended | None:
        """How a job that Slurm no longer has ended; None as long as it may still tell."""
        told = outcome(self._logs / self._run(job), number)
        if told is not None:
            return Ended.of_worker(job, told)
        since = self._missing_since.setdefault(job, time.monotonic())
        if time.monotonic() - since < self._slow_files:
            return None
        if entry is None:
            return Ended(job, None, f"job {number} has vanished")
        why = f" ({entry.reason})" if entry.reason else ""
        return Ended(job, None, f"job {number}: {entry.state}{why}")

    def _run(self, job: Job) -> str:
        """See `Entry`."""
        return str(job.workdir.relative_to(self._sweep / "runs"))
