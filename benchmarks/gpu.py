"""Everything that is to be known of a GPU, in one command.

    python -m benchmarks.gpu --folder=benchmarks/results --torch_python=TORCH/bin/python
    python -m benchmarks.gpu --dry_run                          # the commands, without running them
    python -m benchmarks.gpu --parts='roofline,seeds*'          # some of it
    python -m benchmarks.gpu --tiny --folder=/tmp/try           # every part in small, also on a CPU

Each part is a program of this folder in its own process, and leaves FOLDER/gpu-PART.json and a log. A part
that fails or takes too long does not stop the others, and what it has measured becomes PART.partial.json;
after `--minutes` no further part is begun. A part whose file is there already is not run again, so that the
same command completes what is missing. Needs JAX for GPUs; without --torch_python our side is measured alone.
"""

import fnmatch
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from benchmarks import output
from benchmarks.rows import MECHANISMS
from chanattn import cli
from chanattn.errors import UsageError

_NO_COMMAND_BUFFERS = {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="}
_SEE_GPU = "import sys, jax; sys.exit(jax.default_backend() != 'gpu')"


@dataclass(frozen=True)
class Part:
    """One program to run.

    Attributes:
        name: of its files.
        module: in this folder.
        arguments: its flags.
        limit: seconds after which it is ended.
        variables: added to its environment.
    """

    name: str
    module: str
    arguments: Sequence[str]
    limit: int
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, folder: Path) -> list[str]:
        """What is run; the JSON goes to the folder."""
        json = f"--json={folder / f'gpu-{self.name}.json'}"
        return [sys.executable, "-m", f"benchmarks.{self.module}", *self.arguments, json]

    def shown(self, folder: Path) -> str:
        """The same for people, with its variables."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " ".join([*variables, shlex.join(["python", *self.command(folder)[1:]])])


def main() -> None:
    """Runs as the flags say."""
    values = flags.FLAGS
    chosen = choose(parts(str(values.torch_python or ""), tiny=values.tiny), values.parts)
    folder, console = values.folder, Console(highlight=False, soft_wrap=True)
    if values.dry_run:
        for part in chosen:
            console.print(
                f"# {part.name}: at most {part.limit} s\n{part.shown(folder)}", markup=False
            )
        return
    if values.tiny and values["folder"].using_default_value:
        raise UsageError("--tiny needs a --folder of its own: its figures mean nothing")
    if not values.tiny and not _sees_gpu():
        raise UsageError("JAX sees no GPU here; --tiny tries every part in small on a CPU")
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * values.minutes
    rows = []
    for number, part in enumerate(chosen, start=1):
        left = end - time.monotonic()
        console.print(
            f"[{number}/{len(chosen)}] {part.name}, {left / 60:.1f} minutes left", markup=False
        )
        outcome, seconds = _run(part, folder, left)
        console.print(f"    {outcome} after {seconds:.0f} s", markup=False)
        rows.append({"part": part.name, "outcome": outcome, "seconds": seconds})
    output.report("gpu", rows, folder / "gpu.json")
    if any(row["outcome"] not in ("done", "was there") for row in rows):
        sys.exit(cli.FAILED)


def parts(torch_python: str, *, tiny: bool = False) -> list[Part]:
    """All parts, the most important first.

    Args:
        torch_python: interpreter with torch and timm; empty: our side alone.
        tiny: sizes at which a CPU can run them, to see that they run.
    """
    networks = ("", *(f"_{name}" for name in MECHANISMS))
    bfloat16 = "--precision=bfloat16"

    def compare(name: str, rows: str, modes: str, limit: int, *more: str) -> Part:
        peer = ["--against=timm", f"--torch_python={torch_python}"] if torch_python else []
        small = ["--rounds=1", "--seconds=0.1", "--batch_size=2"] if tiny else []
        arguments = [f"--rows={rows}", f"--modes={modes}", bfloat16, *peer, *more, *small]
        return Part(name, "throughput", arguments, limit)

    def part(name: str, limit: int, full: str, small: str, **variables: str) -> Part:
        module = name.partition("-")[0]
        return Part(name, module, (small if tiny else full).split(), limit, variables)

    dispatch = "--batches=128,1024 --steps_per_dispatch=1,8,32"
    few = "--batches=4 --steps_per_dispatch=1,2 --steps=2 --rounds=1"
    seeds = "--seeds=5 --steps=1000 --model=resnet20 --mechanism=se --batch=128"
    one = "--seeds=2 --steps=2 --model=resnet8 --batch=4 --image_size=8"
    small_roofline = "--copy_mb=16 --product=128 --rounds=1 --shapes=2,8,8,64"
    return [
        part("roofline", 120, f"{bfloat16} --copy_mb=2048 --product=8192", small_roofline),
        *(
            compare(f"resnet50{n}-train", f"resnet50{n}", "train", 240, "--batch_size=256")
            for n in networks
        ),
        part("seeds", 180, seeds, one),
        part("dispatch", 150, dispatch, few),
        part("dispatch-without_command_buffers", 150, dispatch, few, **_NO_COMMAND_BUFFERS),
        compare("resnet20-128", "resnet20*", "train", 400, "--batch_size=128", "--rounds=3"),
        compare("resnet20-1024", "resnet20*", "train", 400, "--batch_size=1024", "--rounds=3"),
        part(
            "loop",
            240,
            "--recipes=resnet20,resnet50 --steps=200",
            "--recipes=digits --steps=8 --rounds=1",
        ),
        *(
            compare(f"resnet50{n}-infer", f"resnet50{n}", "infer", 180, "--batch_size=256")
            for n in networks
        ),
        compare("modules", "*@*", "train,infer", 400, "--rounds=3"),
        part("memory", 400, f"--rows=resnet50* {bfloat16}", "--rows=resnet20 --batch_size=2"),
        part(
            "startup",
            200,
            "--recipes=digits,resnet20 --launches=3",
            "--recipes=digits --launches=1",
        ),
        part(
            "pipeline",
            200,
            "--workers=0,4,8,16 --batch=256 --pictures=2048",
            "--workers=0,1 --batch=4 --pictures=16 --batches=2 --rounds=1",
        ),
    ]


def choose(everything: Sequence[Part], listed: str) -> list[Part]:
    """The parts that a comma-separated list of names and patterns names, in the order of importance.

    Raises:
        UsageError: nothing is called so.
    """
    patterns = [pattern for pattern in listed.split(",") if pattern]
    for pattern in patterns:
        if not fnmatch.filter([part.name for part in everything], pattern):
            valid = ", ".join(part.name for part in everything)
            raise UsageError(f"no part is called {pattern!r}; valid: {valid}")
    return [p for p in everything if any(fnmatch.fnmatch(p.name, pattern) for pattern in patterns)]


def _run(part: Part, folder: Path, left: float) -> tuple[str, float]:
    """Runs a part, for at most `left` seconds; how it ended, and after how long."""
    file, partial = (folder / f"gpu-{part.name}{end}" for end in (".json", ".partial.json"))
    if file.exists():
        return "was there", 0.0
    if left <= 0:
        return "no time left", 0.0
    start = time.monotonic()
    with (folder / f"gpu-{part.name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            part.command(folder.absolute()),
            cwd=output.ROOT,
            env=os.environ | part.variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: Any = process.wait(min(part.limit, left))
        except subprocess.TimeoutExpired:
            code = "too long"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code == 0:
        partial.unlink(missing_ok=True)
    elif file.exists():
        file.replace(partial)
    outcome = {0: "done", "too long": "ended: too long"}.get(code, f"failed, exit code {code}")
    return outcome, time.monotonic() - start


def _sees_gpu() -> bool:
    """Asked in another process: this one must not take the GPU's memory."""
    return subprocess.run([sys.executable, "-c", _SEE_GPU], check=False).returncode == 0


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    cli.define_path("folder", "benchmarks/results", "where files go", **v)
    cli.define_path("torch_python", None, "interpreter with torch and timm; default: no peer", **v)
    flags.DEFINE_string("parts", "*", "names or patterns, separated by commas", **v)
    flags.DEFINE_float("minutes", 25.0, "after which no part is begun", lower_bound=0.0, **v)
    flags.DEFINE_bool("dry_run", False, "print the commands only", **v)
    flags.DEFINE_bool("tiny", False, "sizes for trying it out; the figures mean nothing", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
