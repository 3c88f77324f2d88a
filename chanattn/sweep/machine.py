"""How many workers this machine has room for, and the share of it that each gets."""

import os
import subprocess
import sys
from collections.abc import Sequence

from chanattn import limits
from chanattn.cores import CORES, core_numbers, usable_cores
from chanattn.errors import UsageError

_WORKER_BYTES = (
    2 * 2**30
)  # main memory that a worker may need: JAX, a small data set, a CIFAR network
_PATIENCE = 300  # seconds
# JAX starts in a process of its own, because one that has started it holds memory of the GPU.
_PROBE = "import jax; devices = jax.devices(); print(devices[0].platform, len(devices))"


def places(platform: str, parallel: int = 0) -> list[dict[str, str]]:
    """The environment of each worker that may run at a time.

    With GPUs there is one worker on each; if more are asked for, they share memory and GPUs equally. A TPU
    gets one worker. On the CPU there are as many workers as cores, one thread each, as far as the memory
    reaches: side by side on their own cores, small networks train faster than one after another on all. Where
    the shares fill the machine, each worker is confined to its own: otherwise it starts threads for all.

    Args:
        platform: `config.platform` of the runs.
        parallel: workers at a time; 0: what the machine suggests.

    Raises:
        UsageError: JAX does not start.
    """
    kind, devices = ("cpu", 0) if platform == "cpu" else _accelerators()
    if kind == "gpu":
        return _on_gpus(_visible(devices), parallel or devices)
    if kind != "cpu":
        return [{}] * (parallel or 1)
    own, cores = core_numbers(), usable_cores()
    count = parallel or max(1, min(cores, _memory() // _WORKER_BYTES))
    share = max(1, cores // count)
    if threads := os.environ.get("OMP_NUM_THREADS"):
        return [{"OMP_NUM_THREADS": threads}] * count
    alike = [{"OMP_NUM_THREADS": str(share)}] * count
    if count == 1 or not count * share == cores == len(own):
        return alike
    parts = (own[start : start + share] for start in range(0, cores, share))
    return [
        variables | {CORES: ",".join(map(str, part))}
        for variables, part in zip(alike, parts, strict=True)
    ]


def _accelerators() -> tuple[str, int]:
    """JAX's platform and its number of devices; does not start JAX where no plugin could be found."""
    from chanattn.training.mesh import plugin_is_installed  # slow to import

    if not plugin_is_installed():
        return "cpu", 0
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"JAX does not start on this machine: it has not named its devices in {_PATIENCE} s"
        ) from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        raise UsageError(f"JAX does not start on this machine: {' '.join(reason)}")
    kind, number = done.stdout.split()[-2:]
    return kind, int(number)


def _visible(count: int) -> list[str]:
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",")[:count] if names else [str(number) for number in range(count)]


def _on_gpus(names: Sequence[str], workers: int) -> list[dict[str, str]]:
    result = [{"CUDA_VISIBLE_DEVICES": names[i % len(names)]} for i in range(workers)]
    sharing = -(-workers // len(names))
    if sharing > 1 and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
        for place in result:
            place["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / sharing:.3f}"
    return result


def _memory() -> int:
    """Main memory in bytes, or what this process may use of it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(whole, limits.memory() or whole)
