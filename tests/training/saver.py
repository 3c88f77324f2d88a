"""Saves a state again and again, as fast as it can; processes for tests to kill or to deny the disk to.

    python saver.py

Reads a job a line, JSON with the fields of `Job`, runs it in a process of its own and prints the process's
identifier, then, when it has ended, its exit code. The processes are forks, so that one import serves all.

A job continues from the newest good checkpoint, whose step it prints; every parameter of a state equals its
step.
"""

import ctypes
import dataclasses
import importlib.util
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
from jax.sharding import AxisType

from chanattn import cli
from chanattn.errors import SaveFailed
from chanattn.tasks.classification import Classification
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.state import abstract_state, make_init

CANNOT_MOUNT = 77
NEW_NAMESPACE, READ_ONLY, REMOUNT, BIND, RECURSIVE_PRIVATE = 1 << 17, 1, 32, 4096, (1 << 18) | 16384


@dataclasses.dataclass
class Job:
    """What to do.

    Attributes:
        directory: of the checkpoints.
        output: files for stdout and stderr, with `.out` and `.err` behind the name.
        last_step: to save.
        keep: newest checkpoints kept.
        devices: of the CPU.
        file_bytes: to which a file may grow, as on a disk that fills up; 0: any number.
        disk_bytes: of a disk mounted at the directory, seen by this process only; 0: none.
        read_only: mount the directory read-only, seen by this process only.
    """

    directory: str
    output: str
    last_step: int
    keep: int = 2
    devices: int = 1
    file_bytes: int = 0
    disk_bytes: int = 0
    read_only: bool = False


def tiny_net():
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinyNet()


def mount(job):
    """Gives this process a view of the file system of its own, which needs to be root."""
    libc = ctypes.CDLL(None, use_errno=True)
    where = job.directory.encode()
    calls = [
        lambda: libc.unshare(NEW_NAMESPACE),
        lambda: libc.mount(b"none", b"/", None, RECURSIVE_PRIVATE, None),
    ]
    if job.disk_bytes:
        size = f"size={job.disk_bytes}".encode()
        calls.append(lambda: libc.mount(b"none", where, b"tmpfs", 0, size))
    if job.read_only:
        calls.append(lambda: libc.mount(where, where, None, BIND, None))
        calls.append(lambda: libc.mount(None, where, None, BIND | REMOUNT | READ_ONLY, None))
    if any(call() for call in calls):
        os._exit(CANNOT_MOUNT)


def save(job):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", job.devices)
    mesh = jax.make_mesh((job.devices,), ("data",), axis_types=(AxisType.Auto,))
    template = abstract_state(
        make_init(tiny_net(), optax.adamw(0.1), Classification(), (6, 6, 3), ema=False, mesh=mesh)
    )
    try:
        with Checkpoints(job.directory, Retention(job.keep)) as checkpoints:
            newest = check(checkpoints, template)
            print(f"from {newest}", flush=True)
            if job.file_bytes:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_bytes, most))
            for step in range(newest + 1, job.last_step + 1):
                checkpoints.save(filled(template, step), {"step": step})
    except SaveFailed:
        if job.file_bytes:  # stderr is a file, too
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with Checkpoints(job.directory, read_only=True) as checkpoints:
            print(f"kept {check(checkpoints, template)}", flush=True)
        raise


def check(checkpoints, template):
    """The step of the newest checkpoint, which holds what was saved."""
    restored, damaged = restore_newest(checkpoints, template)
    assert not damaged
    if restored is None:
        return 0
    state, values = restored
    step = int(state.step)
    assert values == {"step": step}
    for leaf in jax.tree.leaves(state.params):
        np.testing.assert_array_equal(leaf, np.full(leaf.shape, step, leaf.dtype))
    return step


def filled(template, step):
    return jax.tree.map(
        lambda leaf: jax.device_put(np.full(leaf.shape, step, leaf.dtype), leaf.sharding), template
    )


def run(job):
    """The child's life, which never returns."""
    code = 1
    try:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{job.output}.{name}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
        if job.disk_bytes or job.read_only:
            mount(job)
        cli.run(lambda: save(job), argv=["saver"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main():
    warnings.simplefilter("ignore")  # JAX warns of every fork; nothing of it has started here
    for line in sys.stdin:
        job = Job(**json.loads(line))
        process = os.fork()
        if not process:
            run(job)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
