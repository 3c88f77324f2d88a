"""The machine that a measurement was made on."""

import os
import platform
from pathlib import Path
from typing import Any

import jax

from chanattn.cores import usable_cores


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


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
