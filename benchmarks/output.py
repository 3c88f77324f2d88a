"""What every benchmark leaves: a table on the terminal, and a JSON file that says how it was made.

    {"benchmark": "startup", "hardware": {...}, "rows": [...],
     "how": {"command", "date", "git", "versions", "variables"}}

`python -m benchmarks.results` reads these files.
"""

import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from chanattn.training.run_directory import git_revision, write_json

ROOT = Path(__file__).resolve().parents[1]
Row = Mapping[str, Any]
T = TypeVar("T")

_PACKAGES = (
    "chanattn",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "grain",
    "opencv-python-headless",
)
_VARIABLES = ("JAX_", "XLA_", "OMP_", "CUDA_VISIBLE", "NVIDIA_TF32", "GLIBC_TUNABLES", "LD_PRELOAD")


def report(benchmark: str, rows: Sequence[Row], path: Path | None) -> None:
    """Prints the rows as a table and writes them to a file.

    Args:
        benchmark: its name, that of the module in this folder.
        rows: one result each, with the same keys.
        path: of the JSON file; None: none is written.
    """
    console = Console(width=None if Console().is_terminal else 200)
    console.print(_table(benchmark, rows))
    if path:
        save(path, benchmark, rows)
        console.print(f"written: {path}", soft_wrap=True)


def save(path: Path, benchmark: str, rows: Sequence[Row], **more: Any) -> None:
    """Writes the rows, and what else is given, with the hardware and how they were made.

    The folder is made if absent.
    """
    # Asked last: it starts JAX, which on a GPU takes most of the memory that child processes need.
    from chanattn.analysis.hardware import hardware

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": benchmark, "hardware": hardware(), "how": how(benchmark), "rows": rows}
    write_json(path, content | more)


def how(benchmark: str) -> dict[str, Any]:
    """The command, the time and what the figures depend on beside the hardware."""
    arguments = [_without_folder(argument) for argument in sys.argv[1:]]
    return {
        "command": " ".join(["python", "-m", f"benchmarks.{benchmark}", *arguments]),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "git": git_revision(),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "variables": {
            name: _without_folder(value)
            for name, value in sorted(os.environ.items())
            if name.startswith(_VARIABLES)
        },
    }


def progress(items: Iterable[T], title: str) -> Iterable[T]:
    """The items, with a bar and the time that is left on stderr."""
    return track(list(items), title, console=Console(stderr=True))


def _table(benchmark: str, rows: Sequence[Row]) -> Table:
    table = Table(title=benchmark)
    for name in rows[0] if rows else ():
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*map(cell, row.values()))
    return table


def cell(value: Any) -> str:
    """A value for people: numbers with four significant digits, large ones with thousands apart."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"{cell(min(value))} to {cell(max(value))}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _without_folder(argument: str) -> str:
    """Where a file lay on this machine tells a reader nothing: only its name stays."""
    flag, equals, value = argument.rpartition("=")
    return f"{flag}{equals}{Path(value).name}" if Path(value).is_absolute() else argument
