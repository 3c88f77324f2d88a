"""Many runs in one worker that stays: its memory after each is that of the runs before.

    python -m tests.soak.staying --runs=200 --json=docs/reliability/soak-staying.json

A worker of the local launcher computes one tiny run after another, of more variants than it keeps programs
of and on more sets of pictures than it keeps, so that both are let go and made anew. Between two runs this
program reads what the kernel knows of the process: the memory that it has allocated, threads, open files. The
first quarter is the warm-up, in which the worker comes to keep as much as it may.
"""

import dataclasses
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.results import report
from chanattn import cli
from chanattn.sweep import grid, store
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.launchers.local import Local
from tests.soak.sweep import workers_of
from tests.soak.training import Sample, of_process

RECIPE = "tests/sweep/tiny_sweep.py"
_MECHANISMS = ("identity", "se", "eca", "simam")
# Growth a run that is allowed, behind the warm-up. TensorStore 0.1.86 alone loses 730 with each checkpoint:
# the results of its `to_json`, which Orbax asks for the metadata of every array, are never freed.
_MOST_KB = 2000.0
_WARM_UP = 0.25
_OTHER_PICTURES = 0.15  # of the runs
_POLL_S = 0.02
_TOLD = 10  # runs between two lines


def main() -> None:
    """Computes the runs as the flags say."""
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        jobs = draw(Path(folder), values.runs, values.variants, values.steps, seed=values.seed)
        samples = watch(jobs)
    row = verdict(samples) | {"variants": len({job.variant for job in jobs}), "steps": values.steps}
    names = ("seconds", "memory_mb", "threads", "files")
    series = dict(zip(names, zip(*samples, strict=True), strict=True))
    report("soak_staying", [row], values.json, series=series)
    if row["growth_kb_a_run"] > _MOST_KB:
        raise RuntimeError(f"memory grows by {row['growth_kb_a_run']:g} KB a run")


def draw(folder: Path, runs: int, variants: int, steps: int, *, seed: int = 0) -> list[Job]:
    """Runs of a sweep that is written to `folder`: each variant once, then at random, each time a new seed.

    Three more variants have pictures of their own.
    """
    recipe, sweep = grid.load(f"{RECIPE}:{steps}")
    rates: dict[str, dict[str, Any]] = {
        f"rate{number}": {
            "model.attention.name": _MECHANISMS[number % len(_MECHANISMS)],
            "optimizer.learning_rate": 0.01 * (1 + number),
        }
        for number in range(variants)
    }
    pictures = {f"pictures{size}": {"dataset.synthetic_examples": size} for size in (48, 80, 96)}
    rng = random.Random(seed)
    chosen = [*rates, *pictures][:runs]
    rng.shuffle(chosen)
    while len(chosen) < runs:
        # Two other sets in a row would have the worker let go of the first, and of all its variants.
        other = chosen[-1] in rates and rng.random() < _OTHER_PICTURES
        chosen.append(rng.choice(list(pictures if other else rates)))
    sweep = dataclasses.replace(sweep, variants=rates | pictures, baseline="rate0", published=())
    seeds = [chosen[:number].count(variant) for number, variant in enumerate(chosen)]
    store.write(folder, recipe, sweep, range(max(seeds) + 1), name="soak", file=RECIPE)
    return [store.job(folder, *each) for each in zip(chosen, seeds, strict=True)]


def watch(jobs: Sequence[Job]) -> list[Sample]:
    """Computes the runs, one after another.

    Returns:
        Of each: seconds that it took, and memory in MB, threads and open files behind it.

    Raises:
        RuntimeError: a run failed, or another process took the place of the worker.
    """
    samples: list[Sample] = []
    first = None
    launcher = Local([{}])
    try:
        for number, job in enumerate(jobs, 1):
            began = time.monotonic()
            launcher.submit(job)
            while not (ended := launcher.poll()):
                time.sleep(_POLL_S)
            if ended[0].code != 0:
                raise RuntimeError(f"{job.name} left with {ended[0]}")
            (pid,) = workers_of(os.getpid())
            first = first or pid
            if pid != first:
                raise RuntimeError(f"{job.name} was computed by another process")
            memory, threads, files, _ = of_process(pid)
            samples.append((round(time.monotonic() - began, 3), memory, threads, files))
            shutil.rmtree(job.workdir)
            if number % _TOLD == 0:
                print(f"{number} of {len(jobs)} runs, {memory:,.0f} MB", flush=True)
    finally:
        launcher.close()
    return samples


def verdict(samples: Sequence[Sample]) -> dict[str, Any]:
    """How the memory changes from run to run behind the warm-up: the slope of a straight line through it."""
    behind = samples[round(_WARM_UP * len(samples)) :]
    memory = [sample[1] for sample in behind]
    slope, _ = statistics.linear_regression(range(len(behind)), memory)
    return {
        "runs": len(samples),
        "runs_behind_warm_up": len(behind),
        "memory_mb": [round(memory[0]), round(memory[-1])],
        "most_memory_mb": round(max(sample[1] for sample in samples)),
        "growth_kb_a_run": round(1000 * slope, 1),
        "most_threads": int(max(sample[2] for sample in behind)),
        "most_files": int(max(sample[3] for sample in behind)),
        "seconds_a_run": round(statistics.median(sample[0] for sample in behind), 2),
    }


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_integer("runs", 200, "trainings", lower_bound=20, **v)
    flags.DEFINE_integer("variants", 36, "on the same pictures", lower_bound=1, **v)
    flags.DEFINE_integer("steps", 2, "of a training", lower_bound=1, **v)
    flags.DEFINE_integer("seed", 0, "of the choice among the variants", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
