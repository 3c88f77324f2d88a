"""Everything that is to be known of a GPU, in one command.

    python -m benchmarks.gpu --torch_python=TORCH/bin/python
    python -m benchmarks.gpu --dry_run                          # the commands, without running them
    python -m benchmarks.gpu --tiny --folder=/tmp/try           # every part in small, also on a CPU

Each part is a program in its own process, and leaves FOLDER/gpu-PART.json and a log. A part that fails or
takes too long does not stop the others, and what it has measured stays as PART.partial.json; after
`--minutes` no further part is begun. A part whose file is there already is not run again, so that the same
command completes what is missing. Needs JAX for GPUs; without --torch_python our side is measured alone.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.results import ROOT
from benchmarks.rows import MECHANISMS
from chanattn import cli
from chanattn.errors import UsageError

_BACKBONES = ["resnet50", *(f"resnet50_{name}" for name in MECHANISMS)]
# Name, seconds after which it is ended, arguments; the most important first.
PARTS: list[tuple[str, int, str]] = [
    *((f"{row}-train", 240, f"throughput --rows={row} --modes=train") for row in _BACKBONES),
    ("resnet20-128", 400, "throughput --rows=resnet20* --modes=train --rounds=3"),
    (
        "resnet20-1024",
        400,
        "throughput --rows=resnet20* --modes=train --rounds=3 --batch_size=1024",
    ),
    ("loop", 240, "loop --recipes=resnet20,resnet50 --steps=200"),
    *((f"{row}-infer", 180, f"throughput --rows={row} --modes=infer") for row in _BACKBONES),
    ("modules", 400, "throughput --rows=*@* --rounds=3"),
    ("startup", 200, "startup --launches=3"),
    ("pipeline", 200, "pipeline --workers=0,4,8,16 --batch=256 --pictures=2048"),
]
_TINY = {
    "throughput": "--rounds=1 --seconds=0.1 --batch_size=2",
    "loop": "--recipes=digits --steps=8 --rounds=1",
    "startup": "--recipes=digits --launches=1",
    "pipeline": "--workers=0,1 --batch=4 --pictures=16 --batches=2 --rounds=1",
}


def main() -> None:
    """Runs as the flags say."""
    values = flags.FLAGS
    folder, end = values.folder.absolute(), time.monotonic() + 60 * values.minutes
    if values.tiny and values["folder"].using_default_value:
        raise UsageError("--tiny needs a --folder of its own: its figures mean nothing")
    if not (values.tiny or values.dry_run) and not _sees_gpu():
        raise UsageError("JAX sees no GPU here; --tiny tries every part in small on a CPU")
    outcomes = {}
    for name, limit, _ in PARTS:
        command = command_of(name, folder, values.torch_python, tiny=values.tiny)
        print(f"{name}: at most {limit} s: python {' '.join(command[1:])}", flush=True)
        if not values.dry_run:
            folder.mkdir(parents=True, exist_ok=True)
            outcomes[name] = run(name, command, folder, min(limit, end - time.monotonic()))
            print(f"    {outcomes[name]}", flush=True)
    if not set(outcomes.values()) <= {"done", "was there"}:
        sys.exit(cli.FAILED)


def command_of(
    name: str, folder: Path, torch_python: Path | None, *, tiny: bool = False
) -> list[str]:
    """What is run for a part: the JSON goes to the folder, and becomes its result when the part is done.

    Args:
        name: of the part.
        folder: of the files.
        torch_python: interpreter with torch and timm; None: our side alone.
        tiny: sizes at which a CPU can run it, to see that it runs.
    """
    ((program, *arguments),) = (words.split() for part, _, words in PARTS if part == name)
    if program == "throughput":
        arguments.append("--precision=bfloat16")
        if torch_python:
            arguments += ["--against=timm", f"--torch_python={torch_python}"]
    arguments += _TINY[program].split() if tiny else []
    json = folder / f"gpu-{name}.partial.json"
    return [sys.executable, "-m", f"benchmarks.{program}", *arguments, f"--json={json}"]


def run(name: str, command: list[str], folder: Path, limit: float) -> str:
    """Runs a part for at most `limit` seconds; how it ended."""
    file = folder / f"gpu-{name}.json"
    if file.exists():
        return "was there"
    if limit <= 0:
        return "no time left"
    with (folder / f"gpu-{name}.log").open("w", encoding="utf-8") as log:
        output: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **output) as process:
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                return "ended: too long"
            finally:
                if process.poll() is None:  # with the processes that it has started
                    os.killpg(process.pid, signal.SIGKILL)
    if code:
        return f"failed, exit code {code}"
    (folder / f"gpu-{name}.partial.json").replace(file)
    return "done"


def _sees_gpu() -> bool:
    """Asked in another process: this one must not take the GPU's memory."""
    code = "import sys, jax; sys.exit(jax.default_backend() != 'gpu')"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    cli.define_path("folder", "benchmarks/results", "where files go", **v)
    cli.define_path("torch_python", None, "interpreter with torch and timm; default: no peer", **v)
    flags.DEFINE_float("minutes", 25.0, "after which no part is begun", lower_bound=0.0, **v)
    flags.DEFINE_bool("dry_run", False, "print the commands only", **v)
    flags.DEFINE_bool("tiny", False, "sizes for trying it out; the figures mean nothing", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
