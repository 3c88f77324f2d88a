"""A bad input, and what comes of it."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

USAGE = 2
_QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}  # compilation is what takes time here
SECONDS = 600  # that a program may take; on a machine with much else to do, it takes many times what it needs


@dataclass(frozen=True)
class Case:
    """A command line that cannot work, and the folder that it is given in.

    Attributes:
        title: the mistake, in a few words.
        command: program and arguments, as in `train.py --config=...`; separated by blanks unless a tuple.
        make: puts what the command needs into the folder.
        code: the exit code due.
        writes: patterns of paths that may be written nevertheless.
        absent: modules that shall seem not to be installed.
        environment: variables.
        unprivileged: permissions shall count, for root too.
        varies: pattern of what a library words, or chooses, in the message: it is not the same everywhere.
    """

    title: str
    command: str | tuple[str, ...]
    make: Callable[[Path], None] = lambda folder: None
    code: int = USAGE
    writes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    unprivileged: bool = False
    varies: str = ""

    @property
    def words(self) -> list[str]:
        return self.command.split() if isinstance(self.command, str) else list(self.command)


@dataclass(frozen=True)
class Outcome:
    """What a program answered: exit code and both streams, paths made relative, and what it wrote."""

    code: int
    out: str
    err: str
    written: list[str]


class Server:
    """The process that runs the programs; see `tests.reliability.server`."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "TFDS_DATA_DIR"}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
        environment |= {"JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": "1"} | _QUICK
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.server"],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.threads = self._answer()["threads"]

    def close(self) -> None:
        """Ends the process."""
        with self._process as process:
            process.kill()

    def run(self, case: Case, folder: Path) -> Outcome:
        """Makes the folder of a case, and runs its command there."""
        home = folder.parent / f"{folder.name}.home"
        streams = {
            name: str(folder.parent / f"{folder.name}.{name}") for name in ("stdout", "stderr")
        }
        for path in (folder, home):
            path.mkdir()
        (folder / "configs").symlink_to(ROOT / "configs")
        case.make(folder)
        before = snapshot(folder)
        program, *arguments = (word for word in case.words if word not in ("python", "-m"))
        request = {
            "program": program,
            "arguments": arguments,
            "root": str(ROOT),
            "folder": str(folder),
            "environment": {"HOME": str(home)} | case.environment,
            "absent": case.absent,
            "unprivileged": case.unprivileged,
            "seconds": SECONDS,
        } | streams
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = self._answer()["code"]
        out, err = (
            relative(Path(path).read_text(errors="backslashreplace"), folder, home)
            for path in streams.values()
        )
        after = snapshot(folder) | snapshot(home)
        changed = [path for path, state in after.items() if before.get(path) != state]
        return Outcome(code, out, err, sorted([*changed, *(before.keys() - after.keys())]))

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        answer: dict[str, int] = json.loads(line)
        return answer


@contextlib.contextmanager
def served() -> Iterator[Server]:
    """A server that is ended in any case."""
    server = Server()
    try:
        yield server
    finally:
        server.close()


def snapshot(folder: Path) -> dict[str, tuple[float, int]]:
    """Time and size of everything in a folder, links not followed; of folders, that they are there."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        state = (0.0, 0) if path.is_dir() else (status.st_mtime, status.st_size)
        found[str(path.relative_to(folder))] = state
    return found


def relative(text: str, folder: Path, home: Path) -> str:
    """A message without what differs from machine to machine."""
    text = text.replace(f"{home}", "~").replace(f"{folder}/", "").replace(str(folder), ".")
    text = text.replace(f"{ROOT}/", "")
    return re.sub(r"0x[0-9a-f]{6,}", "0x...", text)


def mistakes(case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with an answer."""
    found = []
    if outcome.code != case.code:
        found.append(f"exit code {outcome.code} instead of {case.code}")
    if "Traceback" in outcome.err + outcome.out:
        found.append("a traceback reaches the user")
    lines = outcome.err.splitlines()
    if len(lines) != 1 or not lines[0].startswith("error: "):
        found.append(
            f"{len(lines)} lines on standard error instead of one that begins with 'error: '"
        )
    if outcome.out:
        found.append("something on standard output")
    written = [
        path
        for path in outcome.written
        if not any(re.fullmatch(pattern, path) for pattern in case.writes)
    ]
    if written:
        found.append(f"written: {', '.join(written[:5])}")
    return found
