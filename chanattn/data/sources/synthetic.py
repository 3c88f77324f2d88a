"""Synthetic pictures that can be learnt: for smoke tests and benchmarks, of any size and number."""

from collections.abc import Hashable, Mapping, Sequence

import cv2
import numpy as np
from ml_collections import ConfigDict

from chanattn.data.fields import Boxes, Field, Label, Mask, StoredBoxes
from chanattn.data.fit import image_size
from chanattn.data.source import ImageShape, Record
from chanattn.errors import UsageError

DEFAULT_SIZE = (32, 32)
SPLITS = ("train", "test", "validation")
_TEMPLATE_SEED = 8_191
_BOXES = 8  # of a picture, each larger than the one before
_GRID = 4  # A class is a coarse colour pattern of this many cells a side.


def open_split(dataset: ConfigDict, split: str, fields: Sequence[str]) -> "Synthetic":
    """`dataset.synthetic_examples` pictures of the size `dataset.image_size` (32x32 if 0)."""
    del fields
    if split not in SPLITS:
        raise UsageError(f"data set 'synthetic' has the splits {', '.join(SPLITS)}, not {split!r}")
    size = image_size(dataset.image_size) or DEFAULT_SIZE
    return Synthetic(
        split, dataset.synthetic_examples, dataset.synthetic_classes, size, dataset.most_boxes
    )


class Synthetic:
    """The coarse colour pattern of the class under noise; computed when read, never stored.

    Example `i` has class `i % classes` and depends on the split and `i` alone. The label maps, in which
    every class occurs, are all the same and tell nothing of the pictures, and so are the boxes: they are for
    timing.
    """

    note = ""
    objects: np.ndarray | None = None

    def __init__(
        self,
        split: str,
        examples: int,
        classes: int,
        size: tuple[int, int],
        most_boxes: int = _BOXES,
    ):
        self.split = split
        self._size = size
        self.examples = examples
        self.class_names = tuple(f"class {i}" for i in range(classes))
        self.fields: Mapping[str, Field] = {
            "label": Label(classes),
            "label_map": Mask(classes, ignore=None),
            "boxes": Boxes(classes, most_boxes),
        }
        number = np.arange(min(_BOXES, most_boxes))
        share = (1 + number[:, None]) / _BOXES
        self._boxes = StoredBoxes(
            np.repeat([[0.0, 0.0, 1.0, 1.0]], len(number), axis=0) * share,
            number % classes,
            relative=True,
        )
        self._label_map = np.arange(size[0] * size[1]).reshape(size) % classes
        self.image_shape: ImageShape = (*size, 3)
        self.names = range(examples)
        self.labels = np.arange(examples) % classes
        rng = np.random.default_rng(_TEMPLATE_SEED)
        self._templates = rng.integers(64, 192, (classes, _GRID, _GRID, 3), np.uint8)

    def __len__(self) -> int:
        return self.examples

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [self._record(i) for i in indices]

    def _record(self, index: int) -> Record:
        label = index % len(self.class_names)
        rng = np.random.default_rng([SPLITS.index(self.split), index])
        height, width = self._size
        noise = rng.integers(0, 128, (height, width, 3), np.uint8)
        template = self._templates[label]
        pattern = cv2.resize(template, (width, height), interpolation=cv2.INTER_NEAREST)
        # Between 64 - 64 and 191 + 63: no value leaves 0..255.
        fields = {"label": label, "label_map": self._label_map, "boxes": self._boxes}
        return Record(pattern - 64 + noise, fields)

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"synthetic/{self.split}[{index}]"

    def place(self, index: int) -> Hashable:
        """See `Whole.place`."""
        return self.split, index
