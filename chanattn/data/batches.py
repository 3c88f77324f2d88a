"""Batches on the host, each a pure function of its number. Free of JAX: worker processes run this."""

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from chanattn.data.decode import CorruptImage
from chanattn.data.fit import Fit, Seed, WrongSize
from chanattn.data.source import Record, Source
from chanattn.errors import UsageError
from chanattn.random_streams import generator

#: Image (B, H, W, C) uint8 and label (B,) int32; in evaluation mask (B,) float32. `corrupt` holds the
#: positions, in the source, of the unreadable pictures that were met: any number of them.
HostBatch = dict[str, np.ndarray]


class Loaded(NamedTuple):
    """Some examples of a source, decoded."""

    images: list[np.ndarray | None]  # None: corrupt
    labels: list[int]


def load(
    source: Source, fit: Fit, indices: Sequence[int], seeds: Sequence[Seed] | None = None
) -> Loaded:
    """Reads and decodes the examples at `indices`.

    Args:
        source: Where they are.
        fit: Brings them to one size.
        indices: Positions in the source.
        seeds: What decides each one's random crop, if `fit` crops at random.

    Raises:
        UsageError: A picture has another size than the others, or a label is not one of the classes.
    """
    records = source.read(indices)
    seeds = seeds or [(0,)] * len(indices)
    images = [_picture(source, fit, *item) for item in zip(indices, records, seeds, strict=True)]
    return Loaded(images, [_label(source, *item) for item in zip(indices, records, strict=True)])


def _picture(
    source: Source, fit: Fit, index: int, record: Record | OSError, seed: Seed
) -> np.ndarray | None:
    if isinstance(record, OSError):
        return None
    try:
        return fit(record.image, seed)
    except CorruptImage:
        return None
    except WrongSize as error:
        raise UsageError(
            f"picture {source.describe(index)} {error}: set config.dataset.image_size to bring all "
            "pictures to one size"
        ) from error


def _label(source: Source, index: int, record: Record | OSError) -> int:
    if isinstance(record, OSError):
        return 0
    if not 0 <= record.label < len(source.class_names):
        raise UsageError(
            f"{source.describe(index)} has label {record.label}, which is none of the "
            f"{len(source.class_names)} classes: choose a split with labels"
        )
    return record.label


@lru_cache(maxsize=2)  # Threads that work ahead straddle the end of an epoch.
def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """A permutation of 0 .. examples - 1 that depends on seed and epoch alone."""
    return generator(seed, "order", epoch).permutation(examples)


class TrainingBatches:
    """The endless sequence of training batches: element `step` is the batch of that step.

    Every epoch is a permutation of the source, of which the last `len(source) % batch_size` examples are
    left out. A corrupt picture is replaced by the one that follows it in the source.
    """

    def __init__(
        self,
        source: Source,
        fit: Fit,
        *,
        batch_size: int,
        rows: np.ndarray,
        seed: int,
        max_corrupt: int,
    ):
        """`rows` are the rows of the global batch that this process holds."""
        self.source = source
        self.fit = fit
        self.batch_size = batch_size
        self.rows = rows
        self.seed = seed
        self.max_corrupt = max_corrupt

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, step: int) -> HostBatch:
        epoch, step_in_epoch = divmod(step, len(self.source) // self.batch_size)
        order = epoch_order(self.seed, epoch, len(self.source))
        indices = order[step_in_epoch * self.batch_size + self.rows].tolist()
        seeds = [(self.seed, step, row) for row in self.rows.tolist()]
        loaded = load(self.source, self.fit, indices, seeds)
        images, labels = np.empty((len(indices), *self.fit.shape), np.uint8), loaded.labels
        corrupt: list[int] = []
        for slot, image in enumerate(loaded.images):
            if image is None:
                images[slot], labels[slot], met = self._replacement(indices[slot], seeds[slot])
                corrupt += met
            else:
                images[slot] = image
        return {
            "image": images,
            "label": np.array(labels, np.int32),
            "corrupt": np.array(corrupt, np.int64),
        }

    def _replacement(self, index: int, seed: Seed) -> tuple[np.ndarray, int, list[int]]:
        """The next readable example after a corrupt one, and all corrupt ones up to it.

        The search ends after one more than may be corrupt; whoever counts then stops the run, so that the
        blank picture is never seen.
        """
        corrupt = [index]
        while len(corrupt) <= min(self.max_corrupt, len(self.source) - 1):
            index = (index + 1) % len(self.source)
            (image,), (label,) = load(self.source, self.fit, [index], [seed])
            if image is not None:
                return image, label, corrupt
            corrupt.append(index)
        return np.zeros(self.fit.shape, np.uint8), 0, corrupt


class EvaluationBatches:
    """The batches of one pass: every example once, in order, the last batch padded.

    Padding and corrupt pictures are black, labelled 0 and have mask 0.
    """

    def __init__(self, source: Source, fit: Fit, *, batch_size: int, rows: np.ndarray):
        """`rows` are the rows of the global batch that this process holds."""
        self.source = source
        self.fit = fit
        self.batch_size = batch_size
        self.rows = rows

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, number: int) -> HostBatch:
        positions = [number * self.batch_size + int(row) for row in self.rows]
        indices = [p for p in positions if p < len(self.source)]
        loaded = load(self.source, self.fit, indices)
        image = np.zeros((len(positions), *self.fit.shape), np.uint8)
        label = np.zeros(len(positions), np.int32)
        mask = np.zeros(len(positions), np.float32)
        corrupt = []
        for slot, pixels in enumerate(loaded.images):
            if pixels is None:
                corrupt.append(indices[slot])
            else:
                image[slot], label[slot], mask[slot] = pixels, loaded.labels[slot], 1
        return {
            "image": image,
            "label": label,
            "mask": mask,
            "corrupt": np.array(corrupt, np.int64),
        }


class Repeated:
    """The batches of one pass after the other, without end."""

    def __init__(self, batches: EvaluationBatches):
        self.batches = batches

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, number: int) -> HostBatch:
        return self.batches[number % len(self.batches)]
