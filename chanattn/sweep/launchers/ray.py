"""Runs on the nodes of a Ray cluster (https://docs.ray.io), one that exists or one started for this sweep.

Every node must see the sweep's folder and the Python environment under the same paths: a shared file system.
An actor stays on its node for one run after another. A node that dies takes its workers along and nothing
else; their runs are continued on another one from their last checkpoint.
"""

import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from chanattn.cli import PREEMPTED
from chanattn.errors import UsageError
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.ray_runner import Runner
from chanattn.sweep.place import LINGER, pair
from chanattn.sweep.staying import of_the_process
from chanattn.sweep.worker import PROGRAM

ADDRESS = flags.DEFINE_string(
    "ray_address",
    "",
    "HOST:PORT of a cluster, or auto: the one this machine is in; default: a new one",
)
CPUS = flags.DEFINE_float("cpus_per_run", 1.0, "cores that Ray reserves for a run", lower_bound=0)
GPUS = flags.DEFINE_float(
    "gpus_per_run",
    None,
    "GPUs of a run, or a part of one; default: 1 if there are any, else 0",
    lower_bound=0,
)

# What a worker must have in common with this process, whatever node it is on.
_SHARED_VARIABLES = ("JAX_", "XLA_", "TFDS_", "WANDB_", "PYTHONPATH", "OMP_NUM_THREADS")
_OBJECT_STORE = 80 * 2**20  # bytes; nothing but exit codes passes through it
_CLOSING = 120.0  # seconds that workers have to save
_KILLING = 5.0  # seconds that the nodes have to end those that have not


def launch(sweep: Path, platform: str, parallel: int, stall: float) -> "Ray":
    """See `chanattn.sweep.launchers.create`."""
    gpus = 0.0 if platform == "cpu" else GPUS.value
    return Ray(ADDRESS.value, cpus=CPUS.value, gpus=gpus, parallel=parallel, stall=stall)


class _Actor:
    """A `Runner`, as seen from here.

    Attributes:
        handle: Ray's.
        ready: what it answers once it has a node; None: it has.
        job: what it computes.
        outcome: what it will answer of that.
        variants: as far as is known, those whose programs its worker has compiled.
        idle_since: when it began to wait.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.ready: Any = handle.ready.remote()
        self.job: Job | None = None
        self.outcome: Any = None
        self.variants: set[str] = set()
        self.idle_since = 0.0
        self._kind: object = None

    def fits(self, job: Job) -> bool:
        """See `chanattn.sweep.place.Place.fits`."""
        return bool(self.variants) and self._kind == of_the_process(job)

    def give(self, job: Job) -> None:
        """A run to compute."""
        if not self.fits(job):
            self.variants, self._kind = set(), of_the_process(job)
        self.variants.add(job.variant)
        self.job, self.outcome = job, self.handle.run.remote(job)

    def wait(self) -> None:
        """It has nothing to compute from now on."""
        self.ready = self.job = self.outcome = None
        self.idle_since = time.monotonic()


class Ray:
    """Gives runs to a Ray cluster, which places them where it has room.

    Args:
        address: HOST:PORT of a cluster, or "auto"; empty: starts one of this machine alone, and ends it in
            the end.
        cpus: cores reserved for each run, on which its threads are limited too.
        gpus: GPUs of each run, less than 1 to share one; None: 1 if the cluster has any, else 0.
        parallel: runs at a time; 0: as many as the cluster has room for.
        stall: seconds that a worker may stand still; 0: for ever.

    Raises:
        UsageError: Ray is not installed, there is no cluster, or a run would never fit.
    """

    def __init__(
        self,
        address: str = "",
        *,
        cpus: float = 1.0,
        gpus: float | None = None,
        parallel: int = 0,
        stall: float = 0.0,
    ) -> None:
        self._ray = _connect(address)
        if gpus is None:
            gpus = 1.0 if self._ray.cluster_resources().get("GPU") else 0.0
        if not address:
            self._check_room(cpus, gpus)
        self._runner = self._ray.remote(Runner).options(
            num_cpus=cpus, num_gpus=gpus, max_concurrency=2, max_restarts=0
        )
        self._variables = {
            name: value for name, value in os.environ.items() if name.startswith(_SHARED_VARIABLES)
        }
        if 0 < gpus < 1:  # JAX takes three quarters of a GPU's memory, whoever else is there
            self._variables.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 * gpus:.3f}")
        self._parallel, self._stall = parallel, stall
        self._queue: list[Job] = []
        self._stopped: list[Ended] = []
        self._actors: list[_Actor] = []

    def submit(self, job: Job) -> None:
        """See `Launcher.submit`."""
        self._queue.append(job)
        self._place()

    def poll(self) -> Sequence[Ended]:
        """See `Launcher.poll`."""
        found, self._stopped = self._stopped, []
        by_answer = {actor.ready or actor.outcome: actor for actor in self._actors}
        by_answer.pop(None, None)
        if by_answer:
            there, _ = self._ray.wait(list(by_answer), num_returns=len(by_answer), timeout=0)
            ended = [self._answered(by_answer[answer], answer) for answer in there]
            found += [each for each in ended if each is not None]
        self._place()
        return found

    def wait(self, seconds: float) -> None:
        """See `Launcher.wait`."""
        time.sleep(seconds)

    def running(self) -> Sequence[Job]:
        """See `Launcher.running`."""
        return [actor.job for actor in self._actors if actor.job is not None]

    def stop(self, job: Job) -> None:
        """See `Launcher.stop`."""
        if job in self._queue:
            self._queue.remove(job)
            self._stopped.append(Ended(job, PREEMPTED))
        for actor in self._actors:
            if actor.job == job:
                actor.handle.stop.remote(job)

    def close(self) -> None:
        """See `Launcher.close`; a cluster that was there before goes on without these runs."""
        self._queue.clear()
        for actor in self._actors:
            if actor.job is not None:
                actor.handle.stop.remote(actor.job)
        deadline = time.monotonic() + _CLOSING
        try:
            while self.running() and time.monotonic() < deadline:
                self.poll()
                time.sleep(0.1)
        finally:
            killed = [actor.handle.kill.remote() for actor in self._actors if actor.ready is None]
            if killed:
                self._ray.wait(killed, num_returns=len(killed), timeout=_KILLING)
            self._dismiss(list(self._actors))
            self._ray.shutdown()

    def _place(self) -> None:
        """Gives runs to actors that wait, and has as many more placed as there are runs left."""
        while self._queue and (waiting := self._idle()):
            begun = {variant for actor in self._actors for variant in actor.variants}
            actor, job = pair(self._queue, waiting, begun)
            self._queue.remove(job)
            actor.give(job)
        coming = [actor for actor in self._actors if actor.ready is not None]
        self._dismiss(coming[len(self._queue) :])
        if not self._queue:
            now = time.monotonic()
            self._dismiss([each for each in self._idle() if now - each.idle_since > LINGER])
        for _ in self._queue[len(coming) :]:
            if self._parallel and len(self._actors) >= self._parallel:
                break
            told = (PROGRAM, str(Path.cwd()), self._variables, self._stall)
            self._actors.append(_Actor(self._runner.remote(*told)))

    def _idle(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.ready is None and actor.job is None]

    def _dismiss(self, actors: Sequence[_Actor]) -> None:
        """Ends actors; they give back what they had reserved."""
        for actor in actors:
            self._ray.kill(actor.handle)
            self._actors.remove(actor)

    def _answered(self, actor: _Actor, answer: Any) -> Ended | None:
        """How a run ended; None if an actor has a node from now on."""
        job = actor.job
        try:
            ended = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._dismiss([actor])
            if job is None:
                if not self._queue:
                    return None
                # The first run stands for the others that wait, so that such actors are tried only so often.
                job = self._queue.pop(0)
            if isinstance(error, self._ray.exceptions.RayTaskError):  # the worker was never started
                return Ended(job, None, str(error).strip().splitlines()[-1])
            return Ended(job, None, f"its node died, or its actor there ({type(error).__name__})")
        actor.wait()
        if job is None:
            return None
        if ended.code != 0:  # and its worker has gone
            actor.variants.clear()
        return Ended(job, ended.code, ended.detail)

    def _check_room(self, cpus: float, gpus: float) -> None:
        """The cluster is this machine, so that what does not fit never will."""
        have = self._ray.cluster_resources()
        for flag, wanted, kind in (("cpus", cpus, "CPU"), ("gpus", gpus, "GPU")):
            if wanted > have.get(kind, 0):
                self._ray.shutdown()
                raise UsageError(
                    f"--{flag}_per_run={wanted:g}, but this machine has {have.get(kind, 0):g};"
                    " --ray_address=HOST:PORT names a cluster"
                )


def _connect(address: str) -> Any:
    """The module `ray`, connected to a cluster, silent and without dashboard and usage statistics."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of a default
    if not address:  # a cluster without other machines, which keeps to 127.0.0.1
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError("--launcher=ray needs Ray: pip install -e '.[ray]'") from error
    if ":" in address and "//" not in address:
        _check_reachable(address)
    local = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            # JAX fears for what a forked process does; those that Ray forks become other programs at once.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(
                address=address or "local",
                logging_level=logging.ERROR,
                log_to_driver=False,
                **({} if address else local),
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address or "local", str(error).strip().splitlines()[0]) from error
    finally:
        signal.signal(
            signal.SIGTERM, on_sigterm
        )  # Ray would end the sweep without its runs having saved
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself takes a minute to find out that nobody answers."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, reason: str) -> UsageError:
    return UsageError(
        f"no Ray cluster at --ray_address={address} ({reason}); start one with: ray start --head"
    )
