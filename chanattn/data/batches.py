"""Batches on the host, each a pure function of its number. Free of JAX: worker processes run this."""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chanattn.data.decode import CorruptImage
from chanattn.data.fields import Array, Field, WrongValue, arrays_of
from chanattn.data.fit import Fit, Seed, WrongSize
from chanattn.data.source import ImageShape, Record, Source
from chanattn.errors import UsageError
from chanattn.random_streams import generator

#: `image` (B, H, W, C) uint8, `index` (B,) int32, the arrays of the fields, and in evaluation `mask` (B,)
#: float32. `corrupt` holds the positions, in the source, of the unreadable pictures that were met: any number
#: of them.
HostBatch = dict[str, np.ndarray]

# JAX on the CPU uses an array without a copy, on any number of virtual devices, if it starts on a
# multiple of this many bytes.
_ALIGNMENT = 64


def layout(fit: Fit, fields: Mapping[str, Field]) -> dict[str, Array]:
    """The arrays that examples are loaded into, by name."""
    return {
        "image": Array(fit.shape, np.uint8),
        "index": Array((), np.int32, -1),
        **arrays_of(fields, fit.shape[:2]),
    }


def example_bytes(source: Source, fit: Fit) -> int:
    """What one example takes."""
    arrays = layout(fit, source.fields).values()
    return sum(math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in arrays)


def stored_shape(source: Source, fit: Fit) -> ImageShape:
    """Of the stored pictures: one that does not resize knows what the source may not."""
    return source.image_shape if fit.resize else fit.shape


def blank(source: Source, fit: Fit, examples: int) -> HostBatch:
    """Arrays with room for so many examples, filled as for padding and corrupt pictures."""
    arrays = {}
    for name, array in layout(fit, source.fields).items():
        arrays[name] = _aligned_zeros((examples, *array.shape), np.dtype(array.dtype))
        if array.fill:
            arrays[name].fill(array.fill)
    return arrays


def load(
    source: Source,
    fit: Fit,
    indices: Sequence[int],
    seeds: Sequence[Seed] | None,
    into: HostBatch,
    rows: Sequence[int],
) -> list[int]:
    """Reads and decodes the examples at `indices`.

    Args:
        source: Where they are.
        fit: Brings them to one size.
        indices: Positions in the source.
        seeds: What decides each one's random crop, if `fit` crops at random.
        into: Arrays of `blank`.
        rows: Which row of them each example takes.

    Returns:
        Positions in `indices` of the corrupt ones, whose rows are left as they were.

    Raises:
        UsageError: A picture has another size than the others, or a field holds a value that it cannot.
    """
    corrupt = []
    seeds = seeds or [(0,)] * len(indices)
    records = source.read(indices)
    for number, (index, row) in enumerate(zip(indices, rows, strict=True)):
        try:
            example = decoded(source, fit, index, records[number], seeds[number])
        except (CorruptImage, OSError):
            corrupt.append(number)
            continue
        for name, value in example.items():
            into[name][row] = value
    return corrupt


def decoded(
    source: Source, fit: Fit, index: int, record: Record | OSError, seed: Seed = (0,)
) -> dict[str, Any]:
    """The arrays of one example, from what was read at `index`.

    Raises:
        OSError, CorruptImage: It cannot be read, or not decoded.
        UsageError: As `load`.
    """
    if isinstance(record, OSError):
        raise record
    try:
        image, placement = fit(record.image, seed)
        example = {"index": index, "image": image}
        for name, field in source.fields.items():
            for suffix, value in field.load(record.fields.get(name), placement).items():
                example[name + suffix] = value
    except WrongSize as error:
        raise UsageError(
            f"picture {source.describe(index)} {error}: set config.dataset.image_size to bring all "
            "pictures to one size"
        ) from error
    except WrongValue as error:
        raise UsageError(f"{source.describe(index)} {error}") from error
    return example


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    buffer = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


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
        batch = blank(self.source, self.fit, len(indices))
        rows = range(len(indices))
        corrupt: list[int] = []
        for row in load(self.source, self.fit, indices, seeds, batch, rows):
            corrupt += self._replace(row, indices[row], seeds[row], batch)
        return batch | {"corrupt": np.array(corrupt, np.int64)}

    def _replace(self, row: int, index: int, seed: Seed, batch: HostBatch) -> list[int]:
        """Puts the next readable example into the row of a corrupt one; all corrupt ones up to it.

        The search ends after one more than may be corrupt; whoever counts then stops the run, so that the
        blank row is never seen.
        """
        corrupt = [index]
        while len(corrupt) <= min(self.max_corrupt, len(self.source) - 1):
            index = (index + 1) % len(self.source)
            if not load(self.source, self.fit, [index], [seed], batch, [row]):
                break
            corrupt.append(index)
        return corrupt


class EvaluationBatches:
    """The batches of one pass: every example once, in order, the last batch padded.

    Padding and corrupt pictures are black and have mask 0, index -1, and fields with nothing in them.
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
        batch = blank(self.source, self.fit, len(positions))
        corrupt = load(self.source, self.fit, indices, None, batch, range(len(indices)))
        mask = np.zeros(len(positions), np.float32)
        mask[: len(indices)] = 1
        mask[corrupt] = 0
        met = np.array([indices[number] for number in corrupt], np.int64)
        return batch | {"mask": mask, "corrupt": met}


class Repeated:
    """The batches of one pass after the other, without end."""

    def __init__(self, batches: EvaluationBatches):
        self.batches = batches

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, number: int) -> HostBatch:
        return self.batches[number % len(self.batches)]
