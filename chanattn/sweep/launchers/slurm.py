"""Runs as jobs of Slurm, one each, through submitit (https://github.com/facebookincubator/submitit).

A job that is preempted or reaches its time limit saves and is queued again under its number, whether or not
the sweep is there to see it. Slurm's own list of jobs is what a sweep goes by, never a note of its own: a job
carries the name of its run directory, so a sweep that was killed finds its jobs again when it is started, and
no run is computed twice.
"""

import contextlib
import io
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from chanattn.cli import PREEMPTED
from chanattn.errors import UsageError
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm_queue import Entry, Processes, Queue, Squeue
from chanattn.sweep.launchers.slurm_request import Request, parameters
from chanattn.sweep.launchers.slurm_task import Task
from chanattn.sweep.watch import OUTPUT
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
    "KEY=VALUE or KEY: a further parameter of submitit or option of sbatch; may be repeated",
)
EXECUTOR = flags.DEFINE_enum(
    "slurm_executor", "slurm", EXECUTORS, "local: processes of this machine, to try things out"
)

# A job has got further each time that its time was up, so there is no reason to stop at submitit's 3 times.
_TIME_LIMITS = 1000
_RETRY_SUBMISSION = 30.0  # seconds
_CLOSING = 120.0  # seconds; Slurm itself kills what it cancels after its KillWait, 30 by default


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Slurm":
    """See `chanattn.sweep.launchers.create`."""
    given = [option.partition("=") for option in OPTIONS.value]
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
        executor: "slurm", or "local" for processes of this machine that submitit treats like jobs.
        parallel: jobs at a time; 0: Slurm gets all, and decides.
        stall: seconds that a worker may stand still; 0: for ever.
        every: seconds between two questions to Slurm.
        slow_files: seconds after which what a job wrote at its end is visible here.

    Raises:
        UsageError: submitit is missing, Slurm does not answer, there is no such executor, or `sweep` is no
            path that it could use.
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
        self._submitit = _submitit()
        self._local = executor == "local"
        self._executor = (
            self._submitit.LocalExecutor if self._local else self._submitit.SlurmExecutor
        )
        if self._executor.affinity() < 0:
            raise UsageError(
                "there is no srun in PATH, so this machine belongs to no Slurm cluster; choose"
                " --launcher=local, or --slurm_executor=local to try this one out"
            )
        self._sweep = sweep.absolute()
        self._parallel, self._stall = parallel, stall
        self._request, self._slow_files = request, slow_files
        logs = self._sweep / "slurm"
        self._queue: Queue = Processes(logs) if self._local else Squeue(logs, every)
        if self._queue.entries() is None:
            raise UsageError("Slurm does not answer: squeue fails here; see whether sinfo works")
        self._waiting: deque[Job] = deque()
        self._stopped: list[Ended] = []
        self._accepted = False
        self._try_again = 0.0
        self._handles: dict[Job, Any] = {}
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
        known = {entry.identifier: entry for entry in entries}
        for job, handle in list(self._handles.items()):
            entry = known.get(handle.job_id)
            if entry is not None and entry.alive:
                self._missing_since.pop(job, None)
                continue
            outcome = self._outcome(job, handle, entry)
            if outcome is not None:
                self._missing_since.pop(job, None)
                self._forget(job)
                found.append(outcome)
        return found

    def running(self) -> Sequence[Job]:
        """The jobs that Slurm has started."""
        started = {entry.identifier for entry in self._queue.entries() or () if entry.running}
        return [job for job, handle in self._handles.items() if handle.job_id in started]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`; of a job that had not begun, Slurm says so some seconds later."""
        if job in self._handles:
            self._queue.cancel({self._handles[job].job_id})
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
                left = {entry.identifier for entry in entries if entry.alive and entry.ours}
                self._queue.cancel(left - cancelled)
                cancelled |= left
                if not left:
                    break
            time.sleep(0.5)
        for job in list(self._handles):
            self._forget(job)

    def _hand_over(self) -> None:
        """Submits what waits; when Slurm takes no more jobs for now, the rest waits here."""
        while self._waiting and time.monotonic() >= self._try_again:
            if self._parallel and len(self._handles) >= self._parallel:
                return
            job = self._waiting[0]
            entries = self._queue.entries()
            if entries is None:  # whether the job is queued already is not known
                return
            name = self._queue.name(self._folder(job))
            queued = [entry for entry in entries if entry.alive and entry.name == name]
            if queued:
                handle = self._executor.job_class(self._folder(job), queued[0].identifier)
            else:
                handle = self._start(job, name)
            if handle is None:
                return
            self._accepted = True
            self._waiting.popleft()
            self._handles[job] = handle

    def _start(self, job: Job, name: str) -> Any:
        """A new job, or None if it is not accepted now."""
        executor = self._executor(self._folder(job), max_num_timeout=_TIME_LIMITS)
        if self._local:
            executor.update_parameters(
                timeout_min=self._request.minutes, gpus_per_node=self._request.gpus
            )
        else:
            executor.update_parameters(job_name=name, **parameters(self._request, self._submitit))
        refusal = self._submitit.core.utils.FailedJobError
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # it prints what it raises
                handle = executor.submit(Task(command(job), job.workdir / OUTPUT, self._stall))
        except refusal as error:
            if not self._accepted:
                raise UsageError(f"Slurm refuses the job: {_last_line(error)}") from error
            self._try_again = time.monotonic() + _RETRY_SUBMISSION  # mostly a limit on queued jobs
            return None
        self._queue.changed()
        return handle

    def _outcome(self, job: Job, handle: Any, entry: Entry | None) -> Ended | None:
        """How a job that Slurm no longer has ended; None as long as its result may still appear."""
        if handle.paths.result_pickle.exists():
            try:
                return Ended.of_worker(job, handle.result())
            except self._submitit.core.utils.UncompletedJobError as error:
                return Ended(job, None, _last_line(error))
        since = self._missing_since.setdefault(job, time.monotonic())
        if time.monotonic() - since < self._slow_files:
            return None
        if entry is None:
            return Ended(job, None, f"job {handle.job_id} has vanished")
        why = f" ({entry.reason})" if entry.reason else ""
        return Ended(job, None, f"job {handle.job_id}: {entry.state}{why}")

    def _forget(self, job: Job) -> None:
        handle = self._handles.pop(job)
        if self._local:
            handle.done()  # frees the process that has ended

    def _folder(self, job: Job) -> Path:
        return self._sweep / "slurm" / job.workdir.relative_to(self._sweep / "runs")


def _submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise UsageError("--launcher=slurm needs submitit: pip install -e '.[slurm]'") from error
    return submitit


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    return lines[-1].strip().removeprefix("sbatch: error: ") if lines else type(error).__name__
