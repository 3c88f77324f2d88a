"""Measures what each variant of a finished sweep costs, into `SWEEP/cost.json`.

    python -m chanattn.sweep.cost --workdir=SWEEP

A program of its own: the one that controls a sweep keeps off the accelerators.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.runs.cost import Costs
from chanattn.runs.json_object import Damaged
from chanattn.sweep.store import job, read
from chanattn.sweep.watch import Watch
from chanattn.training.config import from_json

_PAUSE = 0.2  # seconds


def known(sweep: Path) -> Collection[str]:
    """The variants that there are figures of; none where the file is damaged."""
    try:
        costs = Costs.read(sweep)
    except Damaged:
        return ()
    return () if costs is None else costs.variants.keys()


def missing(sweep: Path) -> list[str]:
    """The variants that have runs, but no figures in `cost.json` yet."""
    measured = known(sweep)
    index = read(sweep)
    if index is None:
        return []
    with_runs = [
        name
        for name in index.variants
        if any(job(sweep, name, seed).workdir.is_dir() for seed in index.seeds)
    ]
    return [name for name in with_runs if name not in measured]


def measure(sweep: Path, stop: Callable[[], bool], stall: float) -> bool:
    """Measures in a process of its own, which prints what it does.

    Args:
        sweep: its folder.
        stop: asked every moment whether to give up.
        stall: see `launchers.create`.

    Returns:
        Whether there are figures now.
    """
    program = [sys.executable, "-m", "chanattn.sweep.cost", f"--workdir={sweep}"]
    with subprocess.Popen(
        program, start_new_session=True
    ) as child:  # Ctrl-C is for this process alone
        watch = Watch(child, sweep, stall)
        while watch.poll() is None:
            if stop():
                watch.stop()
            time.sleep(_PAUSE)
    return child.returncode == 0


def main() -> None:
    """Measures all variants that have runs: side by side, so that the figures can be compared."""
    sweep = flags.FLAGS.workdir
    if sweep is None:
        raise UsageError("--workdir=SWEEP is required")
    from chanattn.analysis.cost import of_configs
    from chanattn.training import compilation_cache

    if not compilation_cache.usable():
        compilation_cache.enable(sweep / "cache")
    index = read(sweep)
    configs = {}
    if index is None:
        raise UsageError(f"{sweep} holds no sweep; give the --workdir of one")
    for name in index.variants:
        jobs = [job(sweep, name, seed) for seed in index.seeds]
        begun = next((each for each in jobs if each.workdir.is_dir()), None)
        if begun is not None:
            configs[name] = from_json(begun.config.read_text(encoding="utf-8"))
    measured = of_configs(configs, note=lambda line: print(f"  {line}", flush=True))
    Costs.from_json(measured).write(sweep)


if __name__ == "__main__":
    cli.define_path("workdir", None, "folder of the sweep")
    cli.run(main)
