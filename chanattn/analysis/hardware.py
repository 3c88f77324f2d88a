"""The machine that a measurement was made on."""

import os
import platform
from pathlib import Path
from typing import Any

import jax

from chanattn.cores import usable_cores

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory and accelerators of this process; starts JAX if it does not run."""
    devices = jax.devices()
    return {
        "cpu": _cpu_model(),
        "vectors": _vectors(),
        "cores": usable_cores(),
        "cores_of_the_machine": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "accelerators": [d.device_kind for d in devices if d.platform != "cpu"],
        "jax_devices": len(devices),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def describe(machine: dict[str, Any]) -> str:
    """One line of what `hardware` says."""
    vectors = f" with {machine['vectors']}" if machine.get("vectors") else ""  # older files lack it
    cores = f"{machine['cores']} of {machine['cores_of_the_machine']} cores"
    parts = [f"{machine['cpu']}{vectors}, {cores}"]
    parts.append(f"{machine['memory_gb']} GB")
    parts.extend(machine["accelerators"])
    return "; ".join(parts)


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _vectors() -> str:
    """The widest vectors of an x86-64 processor, by which kernels differ more than by its name."""
    flags = _cpuinfo("flags").split()
    return next((name for flag, name in _VECTORS.items() if flag in flags), "")


def _cpuinfo(field: str) -> str:
    """What Linux says of the first processor; empty if nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(field))
    return next(values, "")
