"""A long training, watched from outside: memory, threads, open files and the time of a step stay as they are.

    python -m tests.soak.training --steps=20000 --json=docs/reliability/soak-training.json

The digits recipe by `train.py`, with moving averages, TensorBoard, and far more evaluations and checkpoints
than anybody needs. Once a second this program reads what the kernel knows of the process. The first tenth of
the samples is the warm-up. `cpu_ms` is the processor time of a step with its share of everything else,
`step_ms` the wall clock of steps alone, as the run logs it: whatever else the machine does moves the second,
and hardly the first.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import results
from chanattn import cli
from chanattn.runs.metrics_log import read_metrics
from tests.soak import runs

_EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 250}
_SERIES = ("seconds", "step", "memory_mb", "threads", "files", "cpu_s")
_MEMORY = 0.05  # growth that is allowed
# Threads and files come and go with every checkpoint; the clock of a shared machine is no measure.
_NOISE = {"most_threads": 0.25, "most_files": 0.25, "cpu_ms": 0.10}
_POLL_S = 1.0
_POINTS = 300  # samples kept in the file


def main() -> None:
    """Trains as the flags say."""
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        samples, speeds = watch(Path(folder, "run"), values.steps)
    row = verdict(samples, speeds)
    series = dict(zip(_SERIES, zip(*thin(samples, _POINTS), strict=True), strict=True))
    times = dict(zip(("step", "step_ms"), zip(*thin(speeds, _POINTS), strict=True), strict=True))
    results.report("soak_training", [row], values.json, series=series, step_times=times)
    if grown := growth(row):
        raise RuntimeError(f"something grows: {', '.join(grown)}")


Sample = tuple[float, ...]  # as `_SERIES` says


def watch(workdir: Path, steps: int) -> tuple[list[Sample], list[Sample]]:
    """Trains in another process.

    Returns:
        A sample a second: seconds, step, resident memory of its own in MB, threads, open files, seconds of
            the processor.
        Of every log point: step, and milliseconds of a step since the one before.

    Raises:
        RuntimeError: the training failed.
    """
    fields = {"epochs": 0, "steps": steps, "ema.decay": 0.999, **_EVERY}
    arguments = ["--config=configs/digits.py", f"--workdir={workdir}"]
    arguments += [f"--config.{field}={value}" for field, value in fields.items()]
    samples: list[Sample] = []
    start = time.monotonic()
    with runs.start(arguments) as process:
        try:
            while process.poll() is None:
                step = runs.last_step(workdir)
                if step:
                    samples.append((time.monotonic() - start, step, *of_process(process.pid)))
                time.sleep(_POLL_S)
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the training left with {process.returncode}")
    speeds: list[Sample] = [
        (line["step"], 1000 / line["steps_per_second"])
        for line in read_metrics(workdir)
        if line["split"] == "train"
    ]
    return [sample for sample in samples if len(sample) == len(_SERIES)], speeds


def verdict(samples: Sequence[Sample], speeds: Sequence[Sample]) -> dict[str, Any]:
    """What changed in the course of a training, its first tenth left out.

    Pairs are before and after: of memory the means of the second tenth and of the last, of the rest the
    two halves of what is left: the most threads and files at a time, and the time of a step.
    """
    tenth = len(samples) // 10
    memory = [
        statistics.fmean(sample[2] for sample in part)
        for part in (samples[tenth : 2 * tenth], samples[-tenth:])
    ]
    halves = _halves(samples)
    cpu = [1000 * (half[-1][5] - half[0][5]) / (half[-1][1] - half[0][1]) for half in halves]
    steps = [statistics.median(speed[1] for speed in half) for half in _halves(speeds)]
    return {
        "steps": int(speeds[-1][0]),
        "evaluations": int(speeds[-1][0]) // _EVERY["eval_every"],
        "checkpoints": int(speeds[-1][0]) // _EVERY["checkpoint_every"],
        "minutes": round(samples[-1][0] / 60, 1),
        "memory_mb": [round(value) for value in memory],
        "memory_growth": round(memory[1] / memory[0] - 1, 4),
        "most_threads": [int(max(sample[3] for sample in half)) for half in halves],
        "most_files": [int(max(sample[4] for sample in half)) for half in halves],
        "cpu_ms": [round(value, 2) for value in cpu],
        "step_ms": [round(value, 2) for value in steps],
    }


def growth(row: Mapping[str, Any]) -> list[str]:
    """What grew in a training by its `verdict`: memory by more than 5 %, any other by more than is noise."""
    grown = ["memory"] if row["memory_growth"] > _MEMORY else []
    for name, noise in _NOISE.items():
        before, after = row[name]
        if after > before * (1 + noise):
            grown.append(name)
    return grown


def _halves(rows: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """What comes behind the first tenth, halved."""
    start, middle = len(rows) // 10, len(rows) * 11 // 20
    return rows[start:middle], rows[middle:]


def thin(rows: Sequence[Sample], most: int) -> list[Sample]:
    """At most that many rows, at equal distances, rounded to three decimals."""
    stride = -(-len(rows) // most)
    return [tuple(round(value, 3) for value in row) for row in rows[::stride]]


def of_process(pid: int) -> Sample:
    """Memory in MB, threads, open files and processor time; nothing of one that has just ended.

    The memory is the anonymous part of the resident set: what the process has allocated. Pages of files, such
    as libraries, come and go as the kernel pleases.
    """
    here = Path(f"/proc/{pid}")
    try:
        text = (here / "status").read_text(encoding="utf-8")
        status = dict(line.split(":\t", 1) for line in text.splitlines() if line)
        files = len(list((here / "fd").iterdir()))
        user, system = (here / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    except OSError:
        return ()
    if "RssAnon" not in status:
        return ()
    seconds = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    resident = int(status["RssAnon"].split()[0]) * 1024 / 1e6
    return resident, int(status["Threads"]), files, seconds


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_integer("steps", 20_000, "of the training", lower_bound=1000, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
