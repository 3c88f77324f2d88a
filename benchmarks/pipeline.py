"""The data pipeline alone: images/s that are ready for the network, with nothing trained.

    python -m benchmarks.pipeline --workers=0,1,2 --rounds=3 --json=pipeline.json

Sets on the device: shuffling, augmentation and normalisation inside a jitted function. Streamed: Grain
reads JPEGs of 500x375, decodes, crops at random to 224x224 and hands them to the device, where they are
mirrored and normalised. The rows take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import track

from benchmarks import recipes, results
from chanattn import cli
from chanattn.errors import UsageError

# Batches that may lie ready, in the queues of Grain's threads and of the prefetching, and for each worker.
# They are taken before the clock starts: they would be counted as made in no time.
_WAITING, _WAITING_IN_WORKER = 8, 6
_WIDTH, _HEIGHT = 500, 375  # the most common size in ImageNet
_QUALITY = 97  # makes files about as large as ImageNet's


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    try:
        workers = [int(text) for text in values.workers.split(",") if text]
    except ValueError as error:
        raise UsageError(f"--workers={values.workers}: numbers, separated by commas") from error
    with tempfile.TemporaryDirectory() as folder:
        title = (
            f"JPEG {_WIDTH}x{_HEIGHT}, {write_jpegs(Path(folder), values.pictures):.0f} kB, Grain"
        )
        sources = {
            f"{c.dataset.name} on the device": c for c in map(recipes.load, ("digits", "resnet20"))
        }
        work = list(sources.items())
        work += [(title, jpegs(folder, values.batch, number)) for number in workers]
        rows = measure(work, values.batches, values.rounds)
    results.report("pipeline", rows, values.json)


def measure(work: list[tuple[str, ConfigDict]], batches: int, rounds: int) -> list[dict[str, Any]]:
    """Images/s of several training sets in turns.

    Args:
        work: title and config of each.
        batches: how many are timed.
        rounds: how often each has its turn.
    """
    speeds: list[list[float]] = [[] for _ in work]
    for _ in track(range(rounds), "pipeline", console=Console(stderr=True)):
        for (_, config), found in zip(work, speeds, strict=True):
            found.append(_speed(config, batches))
    return [
        {
            "source": title,
            "workers": config.dataset.workers,
            "batch": config.batch_size,
            "rounds": rounds,
            "images_per_s": statistics.median(found),
            "spread": [min(found), max(found)],
        }
        for (title, config), found in zip(work, speeds, strict=True)
    ]


def _speed(config: ConfigDict, batches: int) -> float:
    """Images/s of `batches` batches, after those that may have been waiting."""
    import jax

    from chanattn import data
    from chanattn.training.mesh import setup

    dataset = config.dataset
    streamed = dataset.loader == "stream"
    waiting = _WAITING + _WAITING_IN_WORKER * dataset.workers if streamed else 0
    with data.training(config, setup(config)) as train:
        prepare, key = jax.jit(train.prepare), jax.random.key(0)
        feeds = train.feeds(0)

        def ready(feeds: Iterator[Any], number: int) -> None:
            for step in range(number):
                jax.block_until_ready(prepare(next(feeds), np.int32(step), key))

        ready(feeds, 2)  # compiles; meanwhile the queues fill
        ready(feeds, waiting)
        start = time.perf_counter()
        ready(feeds, batches)
        return batches * config.batch_size / (time.perf_counter() - start)


def jpegs(folder: str, batch: int, workers: int) -> ConfigDict:
    """The ImageNet recipe on a folder of JPEGs; 0 workers: threads of this process."""
    return recipes.load(
        "resnet50",
        batch_size=batch,
        **{
            "dataset.name": "folder",
            "dataset.data_dir": folder,
            "dataset.loader": "stream",
            "dataset.workers": workers,
            "dataset.augment.random_resized_crop": True,
        },
    )


def write_jpegs(folder: Path, number: int) -> float:
    """Writes two photographs again and again to `folder/train/<class>/<i>.jpg`, once below `folder/test`.

    Args:
        folder: exists.
        number: pictures of the split train.

    Returns:
        Mean size of a file in kB.
    """
    from sklearn.datasets import load_sample_images

    files = []
    for photograph in load_sample_images().images:
        small = cv2.resize(photograph, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        files.append(cv2.imencode(".jpg", small[..., ::-1], quality)[1].tobytes())
    for i in range(number + len(files)):
        split, label = ("train" if i < number else "test"), i % len(files)
        path = folder / split / f"class{label}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[label])
    return sum(map(len, files)) / len(files) / 1000


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
