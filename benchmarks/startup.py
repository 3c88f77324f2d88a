"""Time from launching train.py to the end of its first step, without and with compiled programs at hand.

    python -m benchmarks.startup --recipes=digits,resnet20 --launches=5 --json=startup.json

Launches alternate between `off` (everything is compiled anew) and `filled` (all programs lie in JAX's
persistent cache, `chanattn.training.compilation_cache`); medians count. One launch before them fills the
cache; it also warms the file system, and is reported as `filling`.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any

from absl import flags
from rich.console import Console
from rich.progress import track

from benchmarks import recipes, results
from chanattn import cli
from chanattn.training import compilation_cache

# The lines of train.py that end a phase, in their order; times count from the launch.
_PHASES = {"initialised_s": "JAX ", "compiled_s": "compiled in ", "first_step_s": "step 1/"}


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    chosen = recipes.names(values.recipes)
    rows = [row for recipe in chosen for row in measure(recipe, values.launches)]
    results.report("startup", rows, values.json)


def measure(recipe: str, launches: int) -> list[dict[str, Any]]:
    """Medians of `launches` launches of a recipe, without cache and with a filled one."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {k.upper(): str(v) for k, v in compilation_cache.settings(folder).items()}
        none = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        times = {"off": [], "filling": [launch(recipe, kept)], "filled": []}
        for _ in track(range(launches), f"startup of {recipe}", console=Console(stderr=True)):
            times["off"].append(launch(recipe, none))
            times["filled"].append(launch(recipe, kept))
    return [
        {
            "recipe": recipe,
            "cache": cache,
            "launches": len(each),
            **{phase: statistics.median(t[phase] for t in each) for phase in _PHASES},
            "spread_s": [f(t["first_step_s"] for t in each) for f in (min, max)],
        }
        for cache, each in times.items()
    ]


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
            finally:
                if process.poll() is None:  # with its workers; what it has written is thrown away
                    os.killpg(process.pid, signal.SIGKILL)
        if len(times) < len(_PHASES):
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


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("recipes", "digits,resnet20", f"of {', '.join(recipes.RECIPES)}", **v)
    flags.DEFINE_integer("launches", 5, "of each kind", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
