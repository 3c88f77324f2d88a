"""The machine that a measurement was made on."""

import os
import platform
from pathlib import Path
from typing import Any

import jax


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory and accelerators of this process; starts JAX if it does not run."""
    devices = jax.devices()
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "cores_of_the_machine": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "accelerators": [d.device_kind for d in devices if d.platform != "cpu"],
        "jax_devices": len(devices),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def describe(machine: dict[str, Any]) -> str:
    """One line of what `hardware` says."""
    parts = [f"{machine['cpu']}, {machine['cores']} of {machine['cores_of_the_machine']} cores"]
    parts.append(f"{machine['memory_gb']} GB")
    parts.extend(machine["accelerators"])
    return "; ".join(parts)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cores(number: int) -> None:
    """Confines this process, and those it starts, to the first `number` of its cores; 0: all of them.

    JAX has no number of threads to set: it starts one a core that it may use. So call it first.

    Raises:
        ValueError: there are not that many, or the system cannot do it.
    """
    if not number or number == usable_cores():
        return
    if number > usable_cores() or not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"this process cannot be given {number} of its {usable_cores()} cores")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
