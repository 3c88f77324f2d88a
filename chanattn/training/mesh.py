"""The devices of a run: one mesh with one axis, `data`, over which every batch is split.

Parameters are replicated. Under `jax.jit` the step computes what one device would compute on the whole batch,
so batch-norm statistics are those of the global batch, whatever the number of devices.
"""

import contextlib
import functools
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec

import jax
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict

from chanattn.cores import core_numbers, usable_cores
from chanattn.data.placement import AXIS
from chanattn.errors import NonFinite, Preempted, RunFailed, SaveFailed, UsageError
from chanattn.layers import kernels
from chanattn.streams import say
from chanattn.training import compilation_cache, variables
from chanattn.training.allocator import keep_freed_memory

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def initialize_distributed(coordinator: str, num_processes: int, process_id: int) -> None:
    """Joins the processes of one run; call it in each of them before anything else touches JAX.

    Args:
        coordinator: `host:port` of process 0, reachable from all.
        num_processes: how many processes there are in all.
        process_id: number of this one, from 0.

    Raises:
        UsageError: the flags contradict each other.
    """
    if not coordinator or not 0 <= process_id < num_processes:
        raise UsageError(
            "several processes need --coordinator=HOST:PORT and 0 <= --process_id < --num_processes; got "
            f"--coordinator={coordinator} --num_processes={num_processes} --process_id={process_id}."
        )
    # Only the CPU needs to be told how to talk to other processes.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, num_processes, process_id)


@contextlib.contextmanager
def leaving_at_once_if_it_fails() -> Iterator[None]:
    """Ends a process of several on an unexpected error: with its traceback and exit code 1, without waiting.

    Errors that all processes meet together pass. Another one is often the death of a process; the usual way
    out would wait for it until the heartbeat ends this process too, after 100 s and by SIGABRT. A checkpoint
    that could not be written is one line, as with a single process.
    """
    try:
        yield
    except (UsageError, Preempted, NonFinite):
        raise
    except Exception as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, RunFailed | SaveFailed):
            say(f"error: {error}")
        else:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def setup(config: ConfigDict) -> Mesh:
    """Selects the platform and builds the mesh.

    On accelerators it takes all devices. On the CPU it takes `cpu_devices` virtual ones in each process; 0
    means one where oneDNN computes, which uses all cores by itself, else as many as there are cores, lowered
    until the batch divides. JAX fixes their number when it starts: called after that, this function makes do
    with what is there.

    Raises:
        UsageError: the platform, the kernels or the folder of compiled programs are absent, or the batch
            cannot be divided over the devices.
    """
    variables.check()
    compilation_cache.choose(config.compilation_cache)
    kernels.choose(config.kernels)
    if config.platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    if config.deterministic:
        _ask_for_deterministic_operations()
    in_time = _offer_cpu_devices(config.cpu_devices or _best_number())
    if in_time:
        variables.check_xla_flags(flags)
    if _sees_the_cpu_alone():
        keep_freed_memory()
    devices = _devices(config.platform)
    kernels.current()  # refuses oneDNN, if that was asked for, where XLA cannot call it
    by_process = defaultdict(list)
    for device in devices:
        by_process[device.process_index].append(device)
    processes, each = len(by_process), min(len(local) for local in by_process.values())

    on_cpu = devices[0].platform == "cpu"
    if config.deterministic and not (on_cpu or in_time):
        raise UsageError(
            "config.deterministic comes too late, JAX has started without it; set "
            f"XLA_FLAGS={_DETERMINISTIC} before, or start another process."
        )
    part = config.batch_size // config.accumulate
    if on_cpu and config.cpu_devices:
        if config.cpu_devices > each:
            raise UsageError(
                f"config.cpu_devices={config.cpu_devices}, but JAX has started with {each}; "
                "ask for fewer or leave it 0."
            )
        each = config.cpu_devices
    elif on_cpu:
        each = max((n for n in range(1, each + 1) if part % (n * processes) == 0), default=each)
    if config.batch_size % config.accumulate or part % (each * processes):
        parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
        raise UsageError(
            f"config.batch_size={config.batch_size}{parts} does not divide over {each * processes} devices; "
            f"use a multiple of {each * processes * config.accumulate}."
        )
    chosen = [device for local in by_process.values() for device in local[:each]]
    if on_cpu and config.kernels == "onednn" and len(chosen) > 1:
        raise UsageError(
            f"config.kernels='onednn' works on one device, and this run has {len(chosen)}; use "
            "--config.cpu_devices=1, or --config.kernels=xla."
        )
    return jax.make_mesh((len(chosen),), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def is_primary() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def describe(mesh: Mesh) -> list[str]:
    """The JAX process line and the device line of a run's head."""
    kinds = sorted({device.device_kind for device in mesh.devices.flat})
    lacking = kernels.lacking()
    return [
        f"JAX {jax.__version__}, process {jax.process_index()} of {jax.process_count()}",
        f"devices: {mesh.size} x {', '.join(kinds)} ({mesh.devices.flat[0].platform}), "
        f"convolutions: {kernels.current()}{f' ({lacking})' if lacking else ''}",
    ]


def _ask_for_deterministic_operations() -> None:
    """Adds to `XLA_FLAGS`, which XLA reads when it starts; the CPU's operations are deterministic anyway."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, _DETERMINISTIC])


def _offer_cpu_devices(number: int) -> bool:
    """Asks for virtual CPU devices, and for threads that they can wait in; returns whether JAX still listens.

    Devices meet inside the threads of XLA's pool, which has one a core. With a device a core, all of them
    may wait for a device whose work has none left to run on; XLA then ends the process after 40 s ("Expected
    2 threads to join the rendezvous"). It was seen once, and this cause is inferred. One device meets none: a
    further thread would only be in the way of oneDNN's. XLA knows nothing of a limit on the processors' time.
    """
    try:
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:
        # JAX runs already, as in a notebook or a test: `setup` takes what it finds.
        return False
    cores = usable_cores()
    if number > 1:
        os.environ.setdefault("PJRT_NPROC", str(cores + number))
    elif cores < len(core_numbers()):
        os.environ.setdefault("PJRT_NPROC", str(cores))
    return True


def _sees_the_cpu_alone() -> bool:
    """Whether JAX, which may not have started, finds no accelerator: it is told so, or none is installed."""
    platforms = jax.config.values["jax_platforms"]
    return platforms == "cpu" if platforms else not plugin_is_installed()


def plugin_is_installed() -> bool:
    """Whether JAX could find another device than the CPU.

    A plugin for one lies in the package `jax_plugins` or is an entry point of that name
    (https://openxla.org/xla/pjrt_integration); that for TPUs belongs to JAX and needs `libtpu`.
    """
    modules = [name for name in ("jax_plugins", "libtpu") if find_spec(name)]
    return bool(modules) or _is_announced()


@functools.cache  # it reads a file of every package that is installed
def _is_announced() -> bool:
    return bool(entry_points(group="jax_plugins"))


def _best_number() -> int:
    """Virtual devices of this process: one where oneDNN computes, which uses all cores by itself."""
    alone = not jax.distributed.is_initialized()
    return 1 if alone and kernels.want_one_device() else usable_cores()


def _devices(platform: str) -> list[jax.Device]:
    try:
        found = jax.devices()
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # the latter if all that is named fails to start
        reason = " ".join(str(error).split())[:200] or "no such platform works here"
        raise UsageError(
            f"JAX does not start ({reason}); mend or unset JAX_PLATFORMS="
            f"{os.environ.get('JAX_PLATFORMS', '')}."
        ) from error
    if platform == "auto":
        return found
    try:
        return jax.devices(platform)
    except RuntimeError:
        present = sorted({device.platform for device in found})
        raise UsageError(
            f"config.platform={platform!r} is absent: JAX sees {', '.join(present)}; install JAX for "
            f"{platform}, unset JAX_PLATFORMS, or use --config.platform=auto."
        ) from None
