"""The data pipeline alone: images/s that are ready for the network, with nothing trained.

    python -m benchmarks.pipeline --workers=0,1,2 --rounds=3 --json=pipeline.json

Sets on the device: shuffling, augmentation and normalisation inside a jitted function. Streamed: Grain
reads JPEGs of 500x375, decodes, crops at random to 224x224 and hands them to the device, where they are
mirrored and normalised. The streamed rows take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from benchmarks import jpegs, output, recipes
from chanattn import cli
from chanattn.errors import UsageError

# Batches that may lie ready, in the queues of Grain's threads and of the prefetching, and for each worker.
# They are taken before the clock starts: they would be counted as made in no time.
_WAITING, _WAITING_IN_WORKER = 8, 6


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    try:
        workers = [int(text) for text in values.workers.split(",") if text]
    except ValueError as error:
        raise UsageError(f"--workers={values.workers}: numbers, separated by commas") from error
    rows = [on_device(name, values.batches, values.rounds) for name in ("digits", "resnet20")]
    rows += streamed(values.pictures, values.batch, workers, values.batches, values.rounds)
    output.report("pipeline", rows, values.json)


def on_device(recipe: str, batches: int, rounds: int) -> dict[str, Any]:
    """Images/s of a recipe whose data set lies in device memory."""
    config = recipes.load(recipe)
    speeds = [
        _speed(config, batches, waiting=0)
        for _ in output.progress(range(rounds), f"{config.dataset.name} on the device")
    ]
    return _row(config, f"{config.dataset.name} on the device", speeds)


def streamed(
    pictures: int, batch: int, workers: list[int], batches: int, rounds: int
) -> list[dict[str, Any]]:
    """Images/s of JPEGs read by Grain, for several numbers of worker processes.

    Args:
        pictures: how many are written; they are read over and over, so from the system's file cache.
        batch: pictures a batch.
        workers: numbers of worker processes; 0: threads of this process.
        batches: how many are timed.
        rounds: how often the numbers of workers take turns.
    """
    speeds: dict[int, list[float]] = {number: [] for number in workers}
    configs = {}
    with tempfile.TemporaryDirectory() as folder:
        kilobytes = jpegs.write(Path(folder), pictures)
        for _ in output.progress(range(rounds), f"JPEG with {workers} workers"):
            for number in workers:
                configs[number] = _jpeg_config(folder, batch, number)
                waiting = _WAITING + _WAITING_IN_WORKER * number
                speed = _speed(configs[number], batches, waiting)
                speeds[number].append(speed)
    title = f"JPEG {jpegs.WIDTH}x{jpegs.HEIGHT}, {kilobytes:.0f} kB, Grain"
    return [_row(configs[number], title, speeds[number]) for number in workers]


def _jpeg_config(folder: str, batch: int, workers: int) -> ConfigDict:
    changes = {
        "dataset.name": "folder",
        "dataset.data_dir": folder,
        "dataset.split": "train",
        "dataset.eval_split": "test",
        "dataset.loader": "stream",
        "dataset.workers": workers,
        "dataset.augment.random_resized_crop": True,
        "batch_size": batch,
    }
    return recipes.load("resnet50", **changes)


def _speed(config: ConfigDict, batches: int, waiting: int) -> float:
    """Images/s of `batches` batches, after those that may have been waiting."""
    import jax
    import numpy as np

    from chanattn import data
    from chanattn.training.mesh import setup

    with data.training(config, setup(config)) as train:
        prepare = jax.jit(train.prepare)
        key = jax.random.key(0)
        feeds = train.feeds(0)

        def ready(feeds: Iterator[Any], number: int) -> None:
            for step in range(number):
                jax.block_until_ready(prepare(next(feeds), np.int32(step), key))

        ready(feeds, 2)  # compiles; meanwhile the queues fill
        ready(feeds, waiting)
        start = time.perf_counter()
        ready(feeds, batches)
        return batches * config.batch_size / (time.perf_counter() - start)


def _row(config: ConfigDict, source: str, speeds: list[float]) -> dict[str, Any]:
    return {
        "source": source,
        "workers": config.dataset.workers,
        "batch": config.batch_size,
        "rounds": len(speeds),
        "images_per_s": statistics.median(speeds),
        "spread": [min(speeds), max(speeds)],
    }


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("workers", "0,1,2", "numbers of Grain's worker processes", **v)
    flags.DEFINE_integer("pictures", 512, "JPEGs to write", lower_bound=16, **v)
    flags.DEFINE_integer("batch", 64, "pictures a batch", lower_bound=1, **v)
    flags.DEFINE_integer("batches", 48, "batches timed in each round", lower_bound=1, **v)
    flags.DEFINE_integer("rounds", 3, "how often the rows take turns", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
