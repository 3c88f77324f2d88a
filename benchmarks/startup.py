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
import threading
import time
from pathlib import Path
from typing import IO, Any

from absl import flags

from benchmarks import output, recipes
from chanattn import cli
from chanattn.training import compilation_cache

# The lines of train.py that end a phase, in their order; times count from the launch.
_PHASES = {"initialised_s": "JAX ", "compiled_s": "compiled in ", "first_step_s": "step 1/"}
_LIMIT_S = 900.0  # of one launch


def main() -> None:
    """Measures as the flags say."""
    chosen = recipes.names(flags.FLAGS.recipes)
    output.report("startup", measure(chosen, flags.FLAGS.launches), flags.FLAGS.json)


def measure(chosen: list[str], launches: int) -> list[dict[str, Any]]:
    """Medians of `launches` launches of every recipe, without cache and with a filled one."""
    rows = []
    for recipe in chosen:
        with tempfile.TemporaryDirectory() as folder:
            times: dict[str, list[dict[str, float]]] = {"filling": [launch(recipe, Path(folder))]}
            for _ in output.progress(range(launches), f"startup of {recipe}"):
                times.setdefault("off", []).append(launch(recipe, None))
                times.setdefault("filled", []).append(launch(recipe, Path(folder)))
        rows += [_row(recipe, cache, times[cache]) for cache in ("off", "filling", "filled")]
    return rows


def launch(recipe: str, cache: Path | None) -> dict[str, float]:
    """Starts train.py, waits for its first step, ends it.

    Args:
        recipe: name of a recipe.
        cache: folder of compiled programs; None: JAX keeps and loads none.

    Returns:
        Seconds from the launch to the end of each phase.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [
            *(sys.executable, "train.py", *recipes.flags(recipe)),
            *(f"--workdir={folder}/run", "--config.log_every=1"),
        ]
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=output.ROOT,
            env=_environment(cache),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        timer = threading.Timer(_LIMIT_S, _end, [process])
        timer.start()
        try:
            assert process.stdout is not None
            times = _read_phases(process.stdout, start)
        finally:
            timer.cancel()
            _end(process)
        if len(times) < len(_PHASES):
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended early:\n{errors.read()[-2000:]}")
        return times


def _read_phases(lines: IO[str], start: float) -> dict[str, float]:
    times: dict[str, float] = {}
    for line in lines:
        for phase, beginning in _PHASES.items():
            if phase not in times and line.startswith(beginning):
                times[phase] = time.perf_counter() - start
        if len(times) == len(_PHASES):
            break
    return times


def _environment(cache: Path | None) -> dict[str, str]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if cache is None:
        return environment | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    settings = compilation_cache.settings(cache)
    return environment | {name.upper(): str(value) for name, value in settings.items()}


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the training and its workers; what it has written is thrown away."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _row(recipe: str, cache: str, times: list[dict[str, float]]) -> dict[str, Any]:
    medians = {phase: statistics.median(t[phase] for t in times) for phase in _PHASES}
    spread = [f([t["first_step_s"] for t in times]) for f in (min, max)]
    return {"recipe": recipe, "cache": cache, "launches": len(times), **medians, "spread_s": spread}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("recipes", "digits,resnet20", f"of {', '.join(recipes.RECIPES)}", **v)
    flags.DEFINE_integer("launches", 5, "of each kind", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
