"""A run or a sweep in one tar file.

The first member, `pack.json`, tells every file that follows with its size and CRC-32, so that what is cut
off, damaged or no pack is told before anything lies where a run is looked for:

    {"pack": 1, "files": {"runs/se/config.json": {"size": 5120, "crc32": 123}, ...}}

The others lie under `files/`. Checkpoints are packed with the checksums of their own, by which a resume tests
them once more. Nothing is compressed: weights do not become smaller.
"""

import io
import json
import os
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chanattn.errors import UsageError, some
from chanattn.runs.config import Config
from chanattn.runs.layout import CONFIG, INDEX
from chanattn.runs.sweep import SweepRecord
from chanattn.training.lock import LOCK, is_held
from chanattn.training.space import shortage

MANIFEST, FILES = "pack.json", "files/"
FORMAT = 1
_CACHE = "cache"  # of a sweep: compiled programs, of use to this machine alone
_CHUNK = 2**20  # bytes
_DAMAGED = (
    *(tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)


def pack(directory: Path, file: Path) -> int:
    """Packs a run or a sweep.

    Everything in it is packed but locks and the compiled programs of a sweep. The file appears all at once.

    Args:
        directory: the run or the sweep.
        file: what to make.

    Returns:
        How many files it holds.

    Raises:
        UsageError: the directory is no run and no sweep, or does not tell all of its config; is being
            trained, holds links, or cannot be read; the file is there already, or there is no room for it.
    """
    if not any((directory / name).is_file() for name in (CONFIG, INDEX)):
        raise UsageError(
            f"{directory} is no run and no sweep: there is neither {CONFIG} nor {INDEX} in it"
        )
    _refuse_incomplete(directory)
    _refuse_existing(file)
    try:
        paths = list(_paths(directory))
        _refuse_training(directory, paths)
        entries = {
            path.relative_to(directory).as_posix(): _entry(path)
            for path in paths
            if path.name != LOCK
        }
        needed = sum(entry["size"] + 2 * tarfile.BLOCKSIZE for entry in entries.values())
        lacking = shortage(file.absolute().parent, needed)
        if lacking:
            raise UsageError(f"no room for {file}: {lacking}")
        with _appearing(file) as temporary, temporary.open("xb") as raw:
            with tarfile.open(fileobj=raw, mode="w:") as tar:
                _add_manifest(tar, entries)
                for name in entries:
                    tar.add(directory / name, FILES + name, recursive=False, filter=_anonymous)
            _refuse_changed(directory, entries)
            raw.flush()
            os.fsync(raw.fileno())
            _refuse_training(directory, paths)
    except OSError as error:
        raise UsageError(f"cannot pack {directory} into {file}: {_reason(error)}") from error
    return len(entries)


def unpack(file: Path, directory: Path) -> int:
    """Unpacks what `pack` has made; the directory appears all at once, when every checksum is right.

    Args:
        file: the pack.
        directory: what to make.

    Returns:
        How many files it has.

    Raises:
        UsageError: the file is absent, no pack, cut off or damaged; the directory is there already, or there
            is no room for it.
    """
    _refuse_existing(directory)
    try:
        with tarfile.open(file, "r:") as tar, _appearing(directory) as temporary:
            entries = _read_manifest(tar, file)
            lacking = shortage(
                directory.absolute().parent, sum(entry["size"] for entry in entries.values())
            )
            if lacking:
                raise UsageError(f"no room for {directory}: {lacking}")
            temporary.mkdir()
            found = {
                name for member in tar if (name := _extract(tar, member, entries, file, temporary))
            }
            absent = entries.keys() - found
            if absent:
                raise UsageError(f"{file} is cut off: {len(absent)} of its files are missing")
    except _DAMAGED as error:
        raise UsageError(f"{file} is no pack of chanattn, or damaged ({error})") from error
    except OSError as error:
        raise UsageError(f"cannot unpack {file} to {directory}: {_reason(error)}") from error
    return len(entries)


def _paths(directory: Path) -> Iterator[Path]:
    """All plain files, in order."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(directory, onerror=fail):
        if Path(folder) == directory and (directory / INDEX).is_file() and _CACHE in folders:
            folders.remove(_CACHE)
        folders.sort()
        for name in sorted([*folders, *names]):
            path = Path(folder, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UsageError(f"{path} is a link or no plain file; put a copy in its place")
            if path.is_file():
                yield path


def _refuse_incomplete(directory: Path) -> None:
    """What would be carried away in vain: nobody could resume, evaluate or report it."""
    SweepRecord.read(directory)  # refuses one that is damaged
    config = Config.read(directory)
    missing = config.missing() if config else []
    if missing:
        raise UsageError(
            f"{directory / CONFIG} is no config of a run, it lacks {some(missing)}; restore it, or pack"
            " another directory"
        )


def _refuse_training(directory: Path, paths: list[Path]) -> None:
    for folder in {directory} | {path.parent for path in paths if path.name == LOCK}:
        if is_held(folder):
            raise UsageError(f"another process is training in {folder}; wait for it, or end it")


def _refuse_changed(directory: Path, entries: dict[str, dict[str, int]]) -> None:
    """Files that were written to meanwhile would not be those of the manifest."""
    for name, entry in entries.items():
        if _entry(directory / name) != entry:
            raise UsageError(
                f"{directory / name} was changed while it was packed; wait for what writes there"
            )


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already; choose another name, or remove it")


def _entry(path: Path) -> dict[str, int]:
    crc32, size = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
    return {"size": size, "crc32": crc32}


def _add_manifest(tar: tarfile.TarFile, entries: dict[str, dict[str, int]]) -> None:
    text = json.dumps({"pack": FORMAT, "files": entries}, indent=1).encode()
    member = tarfile.TarInfo(MANIFEST)
    member.size = len(text)
    tar.addfile(member, io.BytesIO(text))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose the files were is nobody's business, and the other machine does not know the numbers."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _read_manifest(tar: tarfile.TarFile, file: Path) -> dict[str, dict[str, int]]:
    first = tar.next()
    content = tar.extractfile(first) if first and first.name == MANIFEST else None
    if content is None:
        raise UsageError(f"{file} is no pack of chanattn: it does not begin with {MANIFEST}")
    manifest: dict[str, Any] = json.load(content)
    if type(manifest["pack"]) is not int or manifest["pack"] != FORMAT:
        raise UsageError(
            f"{file} is a pack of format {manifest['pack']}, made by another version; this one reads {FORMAT}"
        )
    entries = manifest["files"]
    return {
        name: {"size": int(entry["size"]), "crc32": int(entry["crc32"])}
        for name, entry in entries.items()
    }


def _extract(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    entries: dict[str, dict[str, int]],
    file: Path,
    directory: Path,
) -> str:
    """Writes a file if its name, which is returned, and its content are those of the manifest."""
    if member.name == MANIFEST:
        return ""
    name = member.name.removeprefix(FILES)
    if not member.isfile() or member.name == name or name not in entries or name[:1] == "/":
        raise UsageError(f"{file} is no pack of chanattn: it holds {member.name!r}")
    # No more is written than room was looked for; the filter refuses what would lie outside.
    if member.size == entries[name]["size"]:
        tar.extract(member.replace(name=name, deep=False), directory, filter="data")
    if member.size != entries[name]["size"] or _entry(directory / name) != entries[name]:
        raise UsageError(f"{file} is damaged: {name} differs from what was packed")
    return name


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place at the end, or is removed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        _refuse_existing(path)
        temporary.rename(path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
