"""A worker that stays: one process that computes one run after another, as seen by who starts it.

What a process has imported, read and compiled serves its next run. The worker is given its first run on the
command line and each further one as a line of JSON on a pipe; on another it says that a run is done, and
whether it leaves then, because its memory has grown too much. A run that is not done, however it ended, ends
its worker, whose exit code tells why, as that of a worker of one run. So a run that crashes the process or is
stopped costs nothing but itself.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.watch import start
from chanattn.sweep.worker import LEAVES, PROGRAM, command

# Fields of a config that decide how JAX starts, which it does once a process.
_OF_THE_PROCESS = ("platform", "cpu_devices", "kernels", "deterministic")


def of_the_process(job: Job) -> tuple[Any, ...] | None:
    """What a process must have been started for to compute a run; None if its config cannot be read."""
    try:
        config = json.loads(job.config.read_text(encoding="utf-8"))
        return tuple(config[field] for field in _OF_THE_PROCESS)
    except (OSError, ValueError, LookupError, TypeError):
        return None  # the worker says what is wrong with it


class Staying:
    """A worker process.

    Attributes:
        job: what it computes; None while it waits.
        variants: whose programs it has compiled.
        kind: see `of_the_process`.

    Args:
        job: its first run.
        variables: added to its environment.
        stall: seconds that it may stand still during a run; 0: for ever.
        program: what starts it, see `command`.
        directory: where it is started; None: here.
        session: gives it a session of its own, see `chanattn.sweep.watch.start`.
    """

    def __init__(
        self,
        job: Job,
        variables: Mapping[str, str],
        stall: float,
        *,
        program: Sequence[str] = PROGRAM,
        directory: str | None = None,
        session: bool = True,
    ) -> None:
        self.variants = {job.variant}
        self.job: Job | None = job
        self.kind = of_the_process(job)
        jobs, self._jobs = os.pipe()
        self._done, done = os.pipe()
        os.set_blocking(self._done, False)
        try:
            self._watch = start(
                command(job, jobs, done, program),
                job.workdir,
                stall,
                variables=variables,
                directory=directory,
                session=session,
                pass_fds=(jobs, done),
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(jobs)
            os.close(done)

    @property
    def waits(self) -> bool:
        """Whether it can be given a run: it has none, and was not dismissed."""
        return self.job is None and self._jobs >= 0

    @property
    def done(self) -> int | None:
        """The end of a pipe that becomes readable when its run is done; None if it has no run."""
        return None if self.job is None or self._done < 0 else self._done

    def fits(self, job: Job) -> bool:
        """Whether this process can compute a run too."""
        return self.kind is not None and self.kind == of_the_process(job)

    def give(self, job: Job) -> None:
        """One more run, for a worker that waits."""
        assert self.waits
        self.job = job
        self.variants.add(job.variant)
        self._watch = self._watch.of_next(job.workdir)
        with contextlib.suppress(BrokenPipeError):  # it has gone: `poll` tells
            os.write(self._jobs, f"{json.dumps(job.told())}\n".encode())

    def poll(self) -> tuple[Ended | None, bool]:
        """What became of the run since the last call, if anything; and whether the process is still there."""
        job = self.job
        code = self._watch.poll() if job is not None else self._watch.code()
        said = self._said()
        if job is not None and said:
            self.job = None
            if said == LEAVES:
                self.dismiss()
            if code is None:
                return Ended(job, 0), True
        if code is None:
            return None, True
        self._close()
        if job is None:
            return None, False
        return (Ended(job, 0) if said else Ended.of_worker(job, code)), False

    def stop(self) -> None:
        """SIGTERM: a run is saved; a worker that waits ends."""
        self._watch.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._watch.kill()
        self._close()

    def dismiss(self) -> None:
        """Lets a worker that waits end by itself: there is no further run for it."""
        with contextlib.suppress(OSError):
            os.close(self._jobs)
        self._jobs = -1

    def _said(self) -> bytes:
        """What it has said: that the run is done; nothing so far."""
        if self._done < 0:
            return b""
        try:
            return os.read(self._done, 1)
        except BlockingIOError:
            return b""

    def _close(self) -> None:
        for end in (self._jobs, self._done):
            with contextlib.suppress(OSError):
                os.close(end)
        self._jobs = self._done = -1
