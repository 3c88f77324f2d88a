"""What a data set is to the rest of the package: records that can be read in any order."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Record(NamedTuple):
    """One example as stored: an encoded picture (JPEG, PNG, ...) or pixels (H, W, C) uint8."""

    image: bytes | np.ndarray
    label: int


#: Height, width (None where pictures differ or where nobody has looked) and channels, 1 or 3.
ImageShape = tuple[int | None, int | None, int]


class Source(Protocol):
    """A split of a data set. Picklable, because worker processes receive a copy of it."""

    class_names: tuple[str, ...]
    image_shape: ImageShape

    def __len__(self) -> int:
        """Number of examples."""

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """The records at these positions; an `OSError` in place of one that cannot be read."""

    def describe(self, index: int) -> str:
        """The file, or the place within the data set, of a record: for messages about it."""


class Subset:
    """Some of the records of a source, in the order given by `indices`."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self.source = source
        self.indices = indices
        self.class_names = source.class_names
        self.image_shape = source.image_shape

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Source.read`."""
        return self.source.read([self.indices[i] for i in indices])

    def describe(self, index: int) -> str:
        """See `Source.describe`."""
        return self.source.describe(self.indices[index])


class ArraySource:
    """A source over arrays in memory: images (N, H, W, C) uint8 and labels (N,)."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], name: str
    ):
        self.images = images
        self.labels = labels
        self.class_names = tuple(class_names)
        self.image_shape: ImageShape = images.shape[1:]
        self.name = name

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Source.read`."""
        return [Record(self.images[i], int(self.labels[i])) for i in indices]

    def describe(self, index: int) -> str:
        """See `Source.describe`."""
        return f"{self.name}[{index}]"
