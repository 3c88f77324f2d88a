"""One training killed again and again: what it computes is what an undisturbed one computes, to the bit.

    python -m benchmarks.soak_kills --kills=30 --json=docs/reliability/soak-kills.json

The training runs as `train.py` and gets SIGKILL at random moments, some while it starts, most after a random
number of further steps, so that also evaluations and saves are hit; each time the same command continues it.
In the end every line of its log (losses, learning rates and norms of each step, accuracies of raw and of
averaged weights) and every array of its last checkpoint (parameters, batch statistics, moving averages, state
of the optimizer) are compared with those of an undisturbed training.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import output
from chanattn import cli

RECIPE = "tests/training/small_recipe.py"
_CLOCK = ("time", "steps_per_second", "images_per_second")
_PATIENCE_S = 600.0
_POLL_S = 0.002
_WHILE_STARTING = 0.25  # of the kills
_JITTER_S = 0.05  # a step takes about a tenth of it


def main() -> None:
    """Trains and kills as the flags say."""
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        row = soak(Path(folder), values.kills, values.steps, seed=values.seed)
    output.report("soak_kills", [row], values.json)


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
        process = _start(arguments, workdir)
        try:
            if start_s and rng.random() < _WHILE_STARTING:
                time.sleep(rng.uniform(0, 2 * start_s))
            else:
                _until(process, partial(_changed, workdir, before))
                start_s = time.monotonic() - born
                goal = _last_step(workdir) + rng.randint(1, max(1, 2 * steps // kills))
                _until(process, partial(_has_reached, workdir, goal))
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
    pairs = zip(log(straight), log(killed), strict=True)
    for one, other in pairs:
        if one != other:
            raise RuntimeError(f"logged {other}, undisturbed {one}")
    one, other = arrays(straight), arrays(killed)
    different = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    if different:
        raise RuntimeError(f"the last checkpoints differ in {', '.join(sorted(different))}")
    return log(killed)


def log(workdir: Path) -> list[dict[str, Any]]:
    """What a run has logged, without what depends on the clock."""
    text = (workdir / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return [{name: line[name] for name in line if name not in _CLOCK} for line in lines]


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


def _start(arguments: Sequence[str], workdir: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "train.py", *arguments, f"--workdir={workdir}"]
    return subprocess.Popen(words, cwd=output.ROOT, stdout=subprocess.DEVNULL)


def _finish(arguments: Sequence[str], workdir: Path) -> None:
    code = _start(arguments, workdir).wait(_PATIENCE_S)
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


def _changed(workdir: Path, before: tuple[int, int]) -> bool:
    return _mark(workdir) != before


def _has_reached(workdir: Path, step: int) -> bool:
    return _last_step(workdir) >= step


def _last_step(workdir: Path) -> int:
    """Step of the newest complete line of the log; 0: there is none."""
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    return json.loads(lines[-2])["step"] if len(lines) > 1 else 0


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
