"""One training killed again and again: what it computes is what an undisturbed one computes, to the bit.

    python -m tests.soak.kills --kills=30 --json=docs/reliability/soak-kills.json

The training runs as `train.py` and gets SIGKILL at random moments, some while it starts, most after a random
number of further steps, so that also evaluations and saves are hit; each time the same command continues it.
In the end every line of its log (losses, learning rates and norms of each step, accuracies of raw and of
averaged weights) and every array of its last checkpoint (parameters, batch statistics, moving averages, state
of the optimizer) are compared with those of an undisturbed training.
"""

import hashlib
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.results import report
from chanattn import cli
from tests.soak import runs

RECIPE = "tests/training/small_recipe.py"
_PATIENCE_S = 600.0
_POLL_S = 0.002
_WHILE_STARTING = 0.25  # of the kills
_JITTER_S = 0.05  # a step takes about a tenth of it


def main() -> None:
    """Trains and kills as the flags say."""
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        row = soak(Path(folder), values.kills, values.steps, seed=values.seed)
    report("soak_kills", [row], values.json)


def soak(folder: Path, kills: int, steps: int, *, seed: int = 0) -> dict[str, Any]:
    """An undisturbed training and one that is killed, compared.

    Args:
        folder: for both, and for their compiled programs.
        kills: how often the second is killed.
        steps: of both; enough that the kills do not outlast them, about ten a kill.
        seed: of the kills.

    Raises:
        RuntimeError: a training failed or ended before all kills were made, or the two differ.
    """
    arguments = [
        *(f"--config={RECIPE}", f"--config.steps={steps}", "--config.log_every=1"),
        f"--config.compilation_cache={folder / 'cache'}",
    ]
    straight, killed = folder / "straight", folder / "killed"
    _finish(arguments, straight)
    began = time.monotonic()
    while_starting = kill(arguments, killed, kills, steps, random.Random(seed))
    _finish(arguments, killed)
    seconds = time.monotonic() - began
    lines = compare(straight, killed)
    return {
        "kills": kills,
        "while_starting": while_starting,
        "steps": steps,
        "lines_equal": len(lines),
        "arrays_equal": len(arrays(killed)),
        "final_top1": lines[-1]["top1"],
        "seconds": round(seconds, 1),
    }


def kill(
    arguments: Sequence[str], workdir: Path, kills: int, steps: int, rng: random.Random
) -> int:
    """Starts a training and kills it, that often.

    Returns:
        How many of the kills came while it started.

    Raises:
        RuntimeError: it ended by itself.
    """
    while_starting, start_s = 0, 0.0
    for _ in range(kills):
        born, before = time.monotonic(), _mark(workdir)
        process = runs.start([*arguments, f"--workdir={workdir}"])
        try:
            if start_s and rng.random() < _WHILE_STARTING:
                time.sleep(rng.uniform(0, 2 * start_s))
            else:
                _until(process, lambda before=before: _mark(workdir) != before)
                start_s = time.monotonic() - born
                goal = runs.last_step(workdir) + rng.randint(1, max(1, 2 * steps // kills))
                _until(process, lambda goal=goal: runs.last_step(workdir) >= goal)
                time.sleep(rng.uniform(0, _JITTER_S))
            if process.poll() is not None:
                raise RuntimeError(f"the training left with {process.returncode} before all kills")
        finally:
            process.kill()
            process.wait()
        while_starting += _mark(workdir) == before
    return while_starting


def compare(straight: Path, killed: Path) -> list[dict[str, Any]]:
    """The log that both trainings share.

    Raises:
        RuntimeError: they differ in their logs, or in the arrays of their last checkpoints.
    """
    for one, other in zip(runs.logged(straight), runs.logged(killed), strict=True):
        if one != other:
            raise RuntimeError(f"logged {other}, undisturbed {one}")
    one, other = arrays(straight), arrays(killed)
    different = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    if different:
        raise RuntimeError(f"the last checkpoints differ in {', '.join(sorted(different))}")
    return runs.logged(killed)


def arrays(workdir: Path) -> dict[str, str]:
    """Hashes of the arrays of the newest checkpoint by their paths, read by Orbax alone."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    folders = (workdir / "checkpoints").iterdir()
    newest = max((path for path in folders if path.name.isdigit()), key=lambda p: int(p.name))
    hashes = {}
    with ocp.StandardCheckpointer() as reader:
        for part in ("weights", "ema", "training"):
            for path, leaf in jax.tree_util.tree_leaves_with_path(reader.restore(newest / part)):
                array = np.asarray(leaf)
                text = f"{array.dtype}{array.shape}".encode() + array.tobytes()
                hashes[part + jax.tree_util.keystr(path)] = hashlib.sha256(text).hexdigest()
    return hashes


def _finish(arguments: Sequence[str], workdir: Path) -> None:
    code = runs.start([*arguments, f"--workdir={workdir}"]).wait(_PATIENCE_S)
    if code:
        raise RuntimeError(f"the training left with {code}")


def _until(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Waits for the condition, or for the end of the process."""
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the training hangs")
        time.sleep(_POLL_S)


def _mark(workdir: Path) -> tuple[int, int]:
    """What changes when a process begins the log anew, which each does before it compiles."""
    try:
        status = (workdir / "metrics.jsonl").stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_integer("kills", 30, "how often the training is killed", lower_bound=1, **v)
    flags.DEFINE_integer("steps", 300, "of the training", lower_bound=1, **v)
    flags.DEFINE_integer("seed", 0, "of the kills", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
