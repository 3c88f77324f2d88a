"""Compiled programs kept on the disk, so that a second start of the same training compiles nothing.

An entry belongs to a program with its shapes, the options of the compiler, the version of jaxlib and the
kind of device; anything else misses, and is compiled as ever. The folder may be deleted at any time. It is
as trusted as the source code: who can write there can run code in your name
(https://docs.jax.dev/en/latest/persistent_compilation_cache.html).
"""

import os
import platform
import zlib
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from chanattn.errors import UsageError
from chanattn.paths import to_path

# JAX keeps only what takes a second to compile. A training has dozens of small programs beside its two
# large ones, and a start that is to compile nothing needs them all. -1, unlike 0, also forbids JAX to raise
# the limit for slow file systems.
_EVERYTHING: dict[str, float | int] = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def enable(directory: str | os.PathLike[str]) -> None:
    """Keeps every program that this process compiles from now on, and loads those that are there.

    Call it before the first compilation; several processes may share a directory.

    Args:
        directory: made if absent; the entries go to a folder of it that belongs to this kind of processor.

    Raises:
        UsageError: the directory cannot be made, or not be written.
    """
    for name, value in settings(directory).items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # else a directory that is in use already would stay in use


def settings(directory: str | os.PathLike[str]) -> dict[str, str | float | int]:
    """What `enable` sets, by JAX's names; in capitals they are environment variables for other processes.

    Args:
        directory: as of `enable`, made here.

    Raises:
        UsageError: the directory cannot be made, or not be written.
    """
    folder = to_path(directory).absolute() / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot keep compiled programs in {directory}: {error.strerror}; choose another directory"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot keep compiled programs in {directory}: no permission to write there; "
            "choose another directory"
        )
    return {"jax_compilation_cache_dir": str(folder), **_EVERYTHING}


def _processor() -> str:
    """A name for the instructions that this processor has.

    Programs for the CPU hold such instructions. On another processor XLA complains of each entry or, in a
    home directory that the machines of a cluster share, may run into one that is unknown there.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{zlib.crc32(flags.encode()):08x}"
