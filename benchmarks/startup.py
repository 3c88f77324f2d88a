"""Time from launching train.py to the end of its first step, without and with compiled programs at hand.

    python -m benchmarks.startup --recipes=digits,resnet20 --launches=5 --json=startup.json

Launches alternate between `off` (everything is compiled anew) and `filled` (all programs lie in JAX's
persistent cache, `chanattn.training.compilation_cache`); medians count. One launch before them fills the
cache; it also warms the file system, and is reported as `filling`. The yardstick, in the same turns, is what
no program of JAX and Flax can avoid: importing both, and one compiled call. `processor_s` are processor
seconds until the first step, which other work on the machine changes less.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console
from rich.progress import track

from benchmarks import recipes, results
from chanattn import cli
from chanattn.training import compilation_cache

_YARDSTICK = "import jax, flax + one compiled call"
_LEAST = "import flax, jax; jax.jit(lambda x: 2 * x)(1.0).block_until_ready()"
# The lines of train.py that end a phase, in their order; times count from the launch.
_PHASES = {"initialised_s": "JAX ", "compiled_s": "compiled in ", "first_step_s": "step 1/"}


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    results.keep_bytecode()
    chosen = recipes.names(values.recipes)
    rows = [row for recipe in chosen for row in measure(recipe, values.launches)]
    results.report("startup", rows, values.json)


def measure(recipe: str, launches: int) -> list[dict[str, Any]]:
    """Medians of `launches` launches of a recipe, without cache and with a filled one."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {k.upper(): str(v) for k, v in compilation_cache.settings(folder).items()}
        none = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        times = {"off": [], "filling": [launch(recipe, kept)], "filled": [], _YARDSTICK: []}
        for _ in track(range(launches), f"startup of {recipe}", console=Console(stderr=True)):
            times[_YARDSTICK].append(yardstick(none))
            times["off"].append(launch(recipe, none))
            times["filled"].append(launch(recipe, kept))
    names = [*_PHASES, "processor_s"]
    return [
        {
            "recipe": _YARDSTICK if kind == _YARDSTICK else recipe,
            "cache": None if kind == _YARDSTICK else kind,
            "launches": len(each),
            **{n: statistics.median(t[n] for t in each) for n in names if n in each[0]},
            "spread_s": [f(t["first_step_s"] for t in each) for f in (min, max)],
        }
        for kind, each in times.items()
    ]


def yardstick(variables: dict[str, str]) -> dict[str, float]:
    """Seconds, and processor seconds, of a process that does the least; in the terms of `launch`."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", _LEAST], env=os.environ | variables, check=True)
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system
    return {
        "first_step_s": seconds,
        "processor_s": used - before.children_user - before.children_system,
    }


def launch(recipe: str, variables: dict[str, str]) -> dict[str, float]:
    """Starts train.py, waits for its first step, ends it; seconds from the launch to the end of each phase.

    Args:
        recipe: name of a recipe.
        variables: of the environment, that say which compiled programs are kept.

    Raises:
        RuntimeError: the training ended before its first step.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        arguments = [f"--workdir={folder}/run", "--config.log_every=1"]
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "train.py", *recipes.arguments(recipe), *arguments],
            cwd=results.ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                times = read_phases(process.stdout, start)
                times |= processor_seconds(process.pid)
            finally:
                if process.poll() is None:  # with its workers; what it has written is thrown away
                    os.killpg(process.pid, signal.SIGKILL)
        if not times.keys() >= _PHASES.keys():
            errors.seek(0)
            raise RuntimeError(f"the training of {recipe} ended early:\n{errors.read()[-2000:]}")
        return times


def read_phases(lines: Iterable[str], start: float) -> dict[str, float]:
    """Seconds since `start` at which each phase ended, by what train.py prints; reads no further."""
    times: dict[str, float] = {}
    for line in lines:
        for phase, beginning in _PHASES.items():
            if phase not in times and line.startswith(beginning):
                times[phase] = time.perf_counter() - start
        if len(times) == len(_PHASES):
            break
    return times


def processor_seconds(process: int) -> dict[str, float]:
    """`processor_s` of a running process without its children; nothing where that is not told."""
    try:
        fields = (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
    except OSError:
        return {}
    return {"processor_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("recipes", "digits,resnet20", f"of {', '.join(recipes.RECIPES)}", **v)
    flags.DEFINE_integer("launches", 5, "of each kind", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
