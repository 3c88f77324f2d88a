"""Where the jobs of a sweep are queued: at Slurm, or on this machine to try things out without a Slurm."""

import contextlib
import dataclasses
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

# https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES. What is not of these will run or runs;
# a requeued job is pending again.
_OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}
_PATIENCE = 60  # seconds for an answer of Slurm
_SAVING = 90  # seconds before the end of a job's time at which it is announced
_JOB = "chanattn.sweep.launchers.slurm_job"
# A step of the job, started by srun, because Slurm announces nothing to the shell itself.
_SCRIPT = """#!/bin/bash
{setup}
srun --cpus-per-task=$SLURM_CPUS_PER_TASK {command}
code=$?
{teardown}
exit $code
"""


@dataclasses.dataclass(frozen=True)
class Request:
    """What one job asks of Slurm.

    Attributes:
        partition: name; empty: the cluster's default.
        minutes: time limit, before which the run saves and is queued again.
        gpus: per job.
        cpus: cores per job.
        memory: as Slurm writes it, "8G"; empty: the cluster's default.
        options: further options of sbatch by name (`account`, `qos`, ...); an empty text stands for an option
            without a value. Beside them `signal_delay_s`, the seconds before the time limit at which the run
            is told to save, and `setup` and `teardown`, commands of the shell around it.
    """

    partition: str = ""
    minutes: int = 60
    gpus: int = 0
    cpus: int = 1
    memory: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def sbatch(self, command: Sequence[str]) -> tuple[list[str], str]:
        """The options of sbatch, and the script of a job that runs `command`."""
        options = {name.replace("_", "-"): value for name, value in self.options.items()}
        script = _SCRIPT.format(
            setup=options.pop("setup", ""),
            command=shlex.join(command),
            teardown=options.pop("teardown", ""),
        )
        delay = options.pop("signal-delay-s", _SAVING)
        values = {
            **{"nodes": 1, "time": self.minutes, "cpus-per-task": self.cpus},
            **({"partition": self.partition} if self.partition else {}),
            **({"gpus-per-node": self.gpus} if self.gpus else {}),
            **({"mem": self.memory} if self.memory else {}),
            # A node that dies or is taken away gives its job back to the queue.
            **{"requeue": "", "open-mode": "append", "signal": f"USR2@{delay}"},
            **options,
        }
        given = [
            f"--{name}" if value == "" else f"--{name}={value}" for name, value in values.items()
        ]
        return given, script


@dataclasses.dataclass(frozen=True)
class Entry:
    """One job of the sweep in a queue.

    Attributes:
        number: at Slurm, or of the process.
        run: folder of its logs below that of the sweep's: `se_r4/seed0`.
        state: Slurm's word in capitals.
        reason: why it is in that state, if Slurm says so.
    """

    number: str
    run: str
    state: str
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it computes or will."""
        return self.state not in _OVER

    @property
    def running(self) -> bool:
        """Whether it has been given a node."""
        return self.state in {"RUNNING", "COMPLETING"}


class Refused(Exception):
    """A queue takes no job, for now at least; the text says why."""


class Queue(Protocol):
    """A list of jobs, how to add one and how to end them."""

    def submit(self, run: str, arguments: Sequence[str]) -> str:
        """Queues a job, and returns its number.

        Args:
            run: see `Entry`.
            arguments: of `chanattn.sweep.launchers.slurm_job` behind LIMIT_SECONDS.

        Raises:
            Refused: it is not taken.
        """

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """The sweep's jobs, those that ended lately among them; None if that is not known now."""

    def cancel(self, numbers: Collection[str]) -> None:
        """SIGTERM to the jobs of these numbers; those that have not begun never will."""


class Squeue:
    """Slurm's queue; works without Slurm's accounting, which many small clusters lack.

    Args:
        logs: the sweep's folder of logs.
        request: what each job asks for.
        every: seconds for which an answer counts as new.
    """

    def __init__(self, logs: Path, request: Request, every: float) -> None:
        self._logs, self._request, self._every = logs, request, every
        # Behind the name of the run, a mark that only this sweep's jobs have: `se_r4/seed0@1f2e3d4c5b6a`.
        self._mark = f"@{hashlib.sha256(str(logs).encode()).hexdigest()[:12]}"
        self._asked = -every
        self._entries: list[Entry] | None = None

    def submit(self, run: str, arguments: Sequence[str]) -> str:
        """See `Queue.submit`."""
        folder = self._logs / run
        options, script = self._request.sbatch(_command(folder, 0, arguments))
        options += [f"--job-name={run}{self._mark}", f"--output={folder}/%j.log"]
        command = ["sbatch", "--parsable", *options]
        self._asked = -self._every
        try:
            answer = subprocess.run(
                command, input=script, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or [str(error)]
            said = [line for line in lines if "error: " in line] or lines
            raise Refused(said[-1].removeprefix("sbatch: error: ")) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(str(error)) from error
        return answer.stdout.strip().partition(";")[0]

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """As `Queue` says; asks Slurm no more often than `every` seconds unless `fresh`."""
        if fresh or time.monotonic() - self._asked >= self._every:
            self._entries = self._ask()
            self._asked = time.monotonic()
        return self._entries

    def cancel(self, numbers: Collection[str]) -> None:
        """Slurm sends SIGTERM, and SIGKILL after its KillWait."""
        if numbers:
            command = ["scancel", *sorted(numbers)]
            # Without an answer they go on, and the same command takes them up.
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        self._asked = -self._every

    def _ask(self) -> list[Entry] | None:
        command = ["squeue", "--me", "--states=all", "--noheader", "--format=%i|%T|%r|%j"]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None  # the controller of the cluster is busy or being restarted; its jobs go on
        entries = []
        for line in answer.stdout.splitlines():
            number, state, reason, name = line.split("|", 3)
            if name.endswith(self._mark):
                reason = "" if reason == "None" else reason
                entries.append(Entry(number, name.removesuffix(self._mark), state, reason))
        return entries


class Processes:
    """Jobs that are processes of this machine, all at once, and outlive the sweep that started them.

    Args:
        logs: the sweep's folder of logs.
        request: of which the time limit and the GPUs count.
    """

    def __init__(self, logs: Path, request: Request) -> None:
        self._logs, self._request = logs, request
        self._children: dict[str, tuple[subprocess.Popen[bytes], str]] = {}  # with their run

    def submit(self, run: str, arguments: Sequence[str]) -> str:
        """See `Queue.submit`."""
        folder = self._logs / run
        limit = max(1, 60 * self._request.minutes - _SAVING)
        gpus = ",".join(map(str, range(self._request.gpus)))
        with (folder / "job.log").open("ab") as log:
            child = subprocess.Popen(
                _command(folder, limit, arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": gpus},
                start_new_session=True,
            )
        number = str(child.pid)
        self._children[number] = child, run
        return number

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """As `Queue` says; what has ended is not listed."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = os.fsdecode(path.read_bytes()).split("\0")
            except OSError:  # it has just ended
                continue
            folder = Path(words[words.index(_JOB) + 1]) if _JOB in words else Path()
            if folder.is_relative_to(self._logs):
                found[path.parent.name] = str(folder.relative_to(self._logs))
        # One that is just beginning or ending shows no command, but is a process until it is waited for.
        for number, (child, run) in list(self._children.items()):
            if child.poll() is None:
                found[number] = run
            else:
                del self._children[number]
        return [Entry(number, run, "RUNNING") for number, run in found.items()]

    def cancel(self, numbers: Collection[str]) -> None:
        """SIGTERM to the processes."""
        for number in {entry.number for entry in self.entries() or ()} & set(numbers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGTERM)


def _command(folder: Path, limit: int, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", _JOB, str(folder), str(limit), *arguments]
