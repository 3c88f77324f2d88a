"""Where the jobs of a sweep are queued: at Slurm, or on this machine to try things out without a Slurm."""

import contextlib
import dataclasses
import hashlib
import os
import re
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
        minutes: time limit, before which the run under way saves and the job is queued again.
        gpus: per job.
        cpus: cores per job.
        memory: as Slurm writes it, "8G"; empty: the cluster's default.
        options: further options of sbatch by name (`account`, `qos`, ...); an empty text stands for an option
            without a value. Beside them `signal_delay_s`, the seconds before the time limit at which the job
            is told so, and `setup` and `teardown`, commands of the shell around it.
    """

    partition: str = ""
    minutes: int = 60
    gpus: int = 0
    cpus: int = 1
    memory: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def sbatch(self, command: Sequence[str]) -> tuple[list[str], str]:
        """The options of sbatch, and the script of a job that runs `command`."""
        options = self._options()
        script = _SCRIPT.format(
            setup=options.pop("setup", ""),
            command=shlex.join(command),
            teardown=options.pop("teardown", ""),
        )
        delay = options.pop("signal-delay-s", str(_SAVING))
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

    @property
    def seconds(self) -> int:
        """From the start of a job until the end of its time is announced; 0: unknown."""
        options = self._options()
        delay = options.get("signal-delay-s", str(_SAVING))
        if "time" in options or not delay.isdecimal():
            return 0
        return max(1, 60 * self.minutes - int(delay))

    def _options(self) -> dict[str, str]:
        return {name.replace("_", "-"): value for name, value in self.options.items()}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One job of the sweep in a queue.

    Attributes:
        number: at Slurm, or of the process.
        state: Slurm's word in capitals.
        reason: why it is in that state, if Slurm says so.
    """

    number: str
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

    def submit(self, arguments: Sequence[str]) -> str:
        """Queues a job, and returns its number.

        Args:
            arguments: of `chanattn.sweep.launchers.slurm_job` behind SECONDS.

        Raises:
            Refused: it is not taken.
        """

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """The sweep's jobs, those that ended lately among them; None if that is not known now."""

    def cancel(self, numbers: Collection[str], *, begun: bool = True) -> None:
        """SIGTERM to the jobs of these numbers; those that have not begun never will.

        Args:
            numbers: of the jobs.
            begun: cancel also those that have begun.
        """


class Squeue:
    """Slurm's queue; works without Slurm's accounting, which many small clusters lack.

    Args:
        logs: the sweep's folder of logs.
        request: what each job asks for.
        every: seconds for which an answer counts as new.
    """

    def __init__(self, logs: Path, request: Request, every: float) -> None:
        self._logs, self._request, self._every = logs, request, every
        # Behind the name of the sweep, a mark that only its jobs have: `mechanisms@1f2e3d4c5b6a`.
        self._mark = f"@{hashlib.sha256(os.fsencode(logs)).hexdigest()[:12]}"
        self._name = re.sub(r"[^A-Za-z0-9._-]+", "_", logs.parent.name) + self._mark
        self._asked = -every
        self._entries: list[Entry] | None = None

    def submit(self, arguments: Sequence[str]) -> str:
        """See `Queue.submit`."""
        words = _command(self._logs, "slurm", self._request.seconds, arguments)
        options, script = self._request.sbatch(words)
        options += [f"--job-name={self._name}", f"--output={self._logs}/%j.log"]
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

    def cancel(self, numbers: Collection[str], *, begun: bool = True) -> None:
        """Slurm sends SIGTERM, and SIGKILL after its KillWait."""
        if numbers:
            command = ["scancel", *([] if begun else ["--state=PENDING"]), *sorted(numbers)]
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
                entries.append(Entry(number, state, reason))
        return entries


class Processes:
    """Jobs that are processes of this machine, all at once, and outlive the sweep that started them.

    Args:
        logs: the sweep's folder of logs.
        request: of which the time limit and the GPUs count.
    """

    def __init__(self, logs: Path, request: Request) -> None:
        self._logs, self._request = logs, request
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, arguments: Sequence[str]) -> str:
        """See `Queue.submit`."""
        gpus = ",".join(map(str, range(self._request.gpus)))
        with (self._logs / "job.log").open("ab") as log:
            child = subprocess.Popen(
                _command(self._logs, "local", self._request.seconds, arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": gpus},
                start_new_session=True,
            )
        number = str(child.pid)
        self._children[number] = child
        return number

    def entries(self, *, fresh: bool = False) -> Sequence[Entry] | None:
        """As `Queue` says; what has ended is not listed."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = os.fsdecode(path.read_bytes()).split("\0")
                leads = os.getsid(int(path.parent.name)) == int(path.parent.name)
            except OSError:  # it has just ended
                continue
            # A worker that the job is just starting has its command for a moment, but not its session.
            if leads and _JOB in words and Path(words[words.index(_JOB) + 1]) == self._logs:
                found.add(path.parent.name)
        # One that is just beginning or ending shows no command, but is a process until it is waited for.
        for number, child in list(self._children.items()):
            if child.poll() is None:
                found.add(number)
            else:
                del self._children[number]
        return [Entry(number, "RUNNING") for number in sorted(found, key=int)]

    def cancel(self, numbers: Collection[str], *, begun: bool = True) -> None:
        """SIGTERM to the processes, all of which have begun."""
        for number in {entry.number for entry in self.entries() or ()} & set(numbers):
            if begun:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGTERM)


def _command(logs: Path, executor: str, seconds: int, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", _JOB, str(logs), executor, str(seconds), *arguments]
