"""Compiled programs kept on the disk, so that a second start of the same training compiles nothing.

An entry belongs to a program with its shapes, the options of the compiler, the version of jaxlib and the
kind of device; anything else misses, and is compiled as ever. The folder may be deleted at any time. It is
as trusted as the source code: who can write there can run code in your name
(https://docs.jax.dev/en/latest/persistent_compilation_cache.html).

By default it is a folder of the user's, `$XDG_CACHE_HOME/chanattn/compiled`. A process that is killed while
JAX writes an entry, or a full disk, leaves one that is cut short, which every later start would read in vain,
because JAX replaces none. The first start after that removes it, and what was used longest ago if all is too
large together. (JAX's own limit locks the folder for every program, reads all of it for each one that is
written, and writes no more once a process was killed.)
"""

import contextlib
import functools
import os
import platform
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from chanattn.errors import UsageError
from chanattn.paths import to_path
from chanattn.streams import say

OFF = "none"
"""In place of a folder: no program is kept, nor loaded."""

LIMIT = 2**30
"""Bytes that the user's folder may take when a process begins to use it."""

_DIRECTORY = "jax_compilation_cache_dir"
_ENABLED = "jax_enable_compilation_cache"
# JAX keeps only what takes a second to compile. A training has dozens of small programs beside its two
# large ones, and a start that is to compile nothing needs them all. -1, unlike 0, also forbids JAX to raise
# the limit for slow file systems.
_EVERYTHING: dict[str, float | int] = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


# Younger entries may be under way.
_SECONDS_TO_WRITE = 60
# Of an entry that was read to its end once: it is not read again to see whether it is whole.
_READ_ONLY = 0o400
# Whatever goes wrong with an entry, its program is compiled.
_HARMLESS = "Error (reading|writing) persistent compilation cache entry"


def choose(chosen: str) -> None:
    """Keeps programs where a config says.

    Args:
        chosen: a folder, as of `enable`; `OFF`; or empty: where JAX is told to already, else in the user's
            folder, and if that cannot be used, nowhere, of which one line tells.

    Raises:
        UsageError: a folder that was chosen cannot be made, or not be written.
    """
    if chosen == OFF:
        jax.config.update(_ENABLED, False)
    elif chosen:
        enable(chosen)
    elif jax.config.values[_ENABLED] and not jax.config.values[_DIRECTORY]:
        try:
            enable(_of_the_user())
        except UsageError as error:
            _tell_once(f"{error}, or none with --config.compilation_cache={OFF}")
        else:
            tidy(Path(jax.config.values[_DIRECTORY]))


def usable() -> bool:
    """Whether `choose` finds a folder by default."""
    if jax.config.values[_DIRECTORY]:
        return True
    try:
        settings(_of_the_user())
    except UsageError:
        return False
    return True


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
    warnings.filterwarnings("ignore", _HARMLESS)


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Puts back, at its end, what `choose` and `enable` set."""
    before = {name: getattr(jax.config, name) for name in (_DIRECTORY, _ENABLED, *_EVERYTHING)}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        now = {name: getattr(jax.config, name) for name in before}
        for name, value in before.items():
            jax.config.update(name, value)
        if now != before:
            compilation_cache.reset_cache()


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
    return {_DIRECTORY: str(folder), **_EVERYTHING}


@functools.cache  # once a process
def tidy(folder: Path, limit: int = LIMIT) -> None:
    """Removes entries that were cut short, and those used longest ago of what takes more than `limit` bytes.

    Args:
        folder: of entries; other processes may use it meanwhile.
        limit: for all entries together.
    """
    found = []
    for path in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process has removed it, or owns it
            stat = path.stat()
            if (
                stat.st_mode & 0o777 != _READ_ONLY
                and time.time() - stat.st_mtime > _SECONDS_TO_WRITE
            ):
                if _is_cut_short(path.read_bytes()):
                    path.unlink()
                    continue
                path.chmod(_READ_ONLY)
            found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            excess -= size


def _is_cut_short(entry: bytes) -> bool:
    """Whether an entry is not whole, where that can be told: JAX may compress in another way than by zlib."""
    if entry[:1] not in (b"", b"\x78"):
        return False
    try:
        zlib.decompress(entry)
    except zlib.error:
        return True
    return False


def _of_the_user() -> Path:
    """The user's folder.

    Raises:
        UsageError: there is none.
    """
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        caches = told if told.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise UsageError(
            "cannot keep compiled programs: there is no home directory; choose a directory"
        ) from error
    return caches / "chanattn" / "compiled"


@functools.cache
def _tell_once(line: str) -> None:
    say(line)


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
