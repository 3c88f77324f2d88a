"""Runs in jobs of Slurm (https://slurm.schedmd.com), each of which takes one after another.

A job that is preempted or reaches its time limit saves and is queued again under its number, and continues
the run that it had, whether or not the sweep is there to see it. Slurm itself tells a sweep which jobs it
has, as they carry its mark, and files tell what each of them has taken (`slurm_runs`). So a sweep that was
killed finds its jobs again when it is started, and no run is computed twice.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from chanattn.cli import PREEMPTED
from chanattn.errors import UsageError
from chanattn.streams import say
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm_queue import (
    Entry,
    Processes,
    Queue,
    Refused,
    Request,
    Squeue,
)
from chanattn.sweep.launchers.slurm_runs import ENDED, WAITING, Runs
from chanattn.sweep.worker import PROGRAM

EXECUTORS = ("slurm", "local")

PARTITION = flags.DEFINE_string("slurm_partition", "", "partition; default: the cluster's")
MINUTES = flags.DEFINE_integer(
    "slurm_time",
    60,
    "minutes of a job, after which its run saves and it is queued again",
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
    """Has jobs of Slurm compute runs, and watches them.

    Args:
        sweep: folder of the sweep; logs and the list of runs go to its folder `slurm`.
        request: what each job asks for.
        executor: "slurm", or "local" for processes of this machine that act as jobs.
        parallel: jobs at a time; 0: one for each run, and Slurm decides.
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
        logs = sweep.absolute() / "slurm"
        self._parallel, self._stall, self._slow_files = parallel, stall, slow_files
        self._queue: Queue = (
            Processes(logs, request) if executor == "local" else Squeue(logs, request, every)
        )
        entries = self._queue.entries()
        if entries is None:
            raise UsageError("Slurm does not answer: squeue fails here; see whether sinfo works")
        self._runs = Runs(logs)
        alive = {entry.number for entry in entries if entry.alive}
        self._runs.forget_all_but(alive)
        self._open: dict[str, Job] = {}
        self._stopped: list[Ended] = []
        self._jobs = alive  # that have not ended yet, as far as is known
        self._unneeded = set[str]()
        self._accepted = bool(alive)
        self._try_again = 0.0
        self._missing_since: dict[str, float] = {}  # runs and jobs

    def submit(self, job: Job) -> None:
        """Has a run computed, or waits for the job that has it from an earlier process of the sweep.

        Raises:
            UsageError: Slurm refuses the first job.
        """
        name = self._runs.name(job)
        self._open[name] = job
        if self._runs.states().get(name) in {None, ENDED}:
            self._runs.offer(job)
        self._queue_jobs()

    def poll(self) -> Sequence[Ended]:
        """The runs that have ended, or whose job has."""
        self._queue_jobs()
        found, self._stopped = self._stopped, []
        states, entries = self._runs.states(), self._queue.entries()
        for name, job in list(self._open.items()):
            ended = self._ended(name, job, states.get(name), entries)
            if ended is not None:
                self._missing_since.pop(name, None)
                del self._open[name]
                found.append(ended)
        return found + self._in_vain(entries)

    def wait(self, seconds: float) -> None:
        """See `Launcher.wait`."""
        time.sleep(seconds)

    def running(self) -> Sequence[Job]:
        """The runs whose job Slurm has started."""
        started = {entry.number for entry in self._queue.entries() or () if entry.running}
        states = self._runs.states()
        return [job for name, job in self._open.items() if states.get(name) in started]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`; the job that has the run goes on with others."""
        name = self._runs.name(job)
        if name not in self._open:
            return
        if self._runs.withdraw(job):
            del self._open[name]
            self._stopped.append(Ended(job, PREEMPTED))
        else:
            self._runs.stop(job)

    def close(self) -> None:
        """Cancels all jobs of this sweep, an earlier process's too, and waits until they have saved."""
        for job in self._open.values():
            self._runs.withdraw(job)
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
        self._open.clear()

    def _queue_jobs(self) -> None:
        """Submits jobs for the runs that wait, as many as Slurm takes, and cancels what is not needed."""
        entries = self._queue.entries()
        if entries is None:  # which jobs there are is not known
            return
        states = self._runs.states()
        alive = [entry for entry in entries if entry.alive]
        free = [entry for entry in alive if entry.number not in states.values()]
        self._jobs |= {entry.number for entry in alive}
        missing = sum(states.get(name) == WAITING for name in self._open) - len(free)
        if missing < 0:
            pending = [entry.number for entry in free if not entry.running]
            self._unneeded |= set(pending[missing:])
            self._queue.cancel(pending[missing:], begun=False)
        if self._parallel:
            missing = min(missing, self._parallel - len(alive))
        while missing > 0 and time.monotonic() >= self._try_again:
            try:
                self._jobs.add(self._queue.submit([str(self._stall), *PROGRAM]))
            except Refused as refusal:
                if not self._accepted:
                    raise UsageError(f"Slurm refuses the job: {refusal}") from refusal
                # Mostly a limit on queued jobs.
                self._try_again = time.monotonic() + _RETRY_SUBMISSION
            self._accepted = True
            missing -= 1

    def _ended(
        self, name: str, job: Job, state: str | None, entries: Sequence[Entry] | None
    ) -> Ended | None:
        """How a run has ended; None as long as it waits, has a job, or may still tell."""
        if state == ENDED and (told := self._runs.outcome(job)) is not None:
            return told
        if entries is None:
            return None
        if state == WAITING or any(entry.alive and entry.number == state for entry in entries):
            self._missing_since.pop(name, None)
            return None
        if not self._is_missed(name):
            return None
        if state is None or state == ENDED:
            return Ended(job, None, "its job has not told what became of it")
        self._runs.drop(state, name)
        return Ended(job, None, _why(state, entries))

    def _in_vain(self, entries: Sequence[Entry] | None) -> list[Ended]:
        """For each job that ended before it could take a run, one that waits: no endless row of such jobs."""
        found: list[Ended] = []
        if entries is None:
            return found
        for number in self._jobs - {entry.number for entry in entries if entry.alive}:
            in_vain = number not in self._unneeded and not self._runs.has_begun(number)
            if in_vain and not self._is_missed(number):
                continue
            self._jobs.discard(number)
            self._missing_since.pop(number, None)
            for name, job in list(self._open.items()):
                if in_vain and self._runs.withdraw(job):
                    del self._open[name]
                    found.append(Ended(job, None, _why(number, entries)))
                    break
        return found

    def _is_missed(self, what: str) -> bool:
        """Whether it has been missing for longer than files need to become visible."""
        since = self._missing_since.setdefault(what, time.monotonic())
        return time.monotonic() - since >= self._slow_files


def _why(number: str, entries: Sequence[Entry]) -> str:
    """What became of a job that Slurm no longer has."""
    entry = next((entry for entry in entries if entry.number == number), None)
    if entry is None:
        return f"job {number} has vanished"
    return f"job {number}: {entry.state}{f' ({entry.reason})' if entry.reason else ''}"
