"""Drawn shapes on textured ground, with the class of every pixel and with boxes: tasks without a download.

A picture holds one or two shapes of any colour, tilted by up to 20 degrees, one of them maybe over the
other, so that a class shows in its form alone. In label maps the border of a shape, one pixel wide, has no
class, as in PASCAL VOC. A box surrounds what is visible of a shape, as those of PASCAL VOC do: what lies
under another shape leaves no trace in the picture. One of which less than 0.3 is visible is declared as a
crowd, which is neither to be found nor to be missed, and one that is wholly hidden has no box.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from ml_collections import ConfigDict

from chanattn.data.captions import FIELD
from chanattn.data.fields import LEAST_VISIBLE, Boxes, Field, Mask, StoredBoxes
from chanattn.data.fit import image_size
from chanattn.data.source import ImageShape, Record, Whole
from chanattn.data.sources import outlines, told_shapes
from chanattn.errors import UsageError

DEFAULT_SIZE = (64, 64)
LEAST_SIDE = 8  # smaller ones have no room for a shape
EXAMPLES = {"train": 1024, "validation": 256, "test": 256}
CLASS_NAMES: tuple[str, ...] = ("ground", "circle", "square", "triangle", "cross", "ring")
IGNORE = 255
_MOST = 2
_TILT = 0.35  # radians, to either side
_GRID = 5  # The ground is a coarse pattern of so many colours a side, interpolated.
_RADII = 0.18, 0.32
_CONTRAST = (
    80  # A shape's colour differs from the mean of the ground by as much, in one channel at least.
)


def open_split(dataset: ConfigDict, split: str, fields: Sequence[str]) -> Whole:
    """Pictures of the size `dataset.image_size` (64x64 if 0); only for label maps the ground is a class.

    Those with captions are others, see `told_shapes`.
    """
    with_captions = FIELD in fields
    splits = told_shapes.EXAMPLES if with_captions else EXAMPLES
    least = told_shapes.LEAST_SIDE if with_captions else LEAST_SIDE
    if split not in splits:
        raise UsageError(f"data set 'shapes' has the splits {', '.join(splits)}, not {split!r}")
    size = image_size(dataset.image_size) or DEFAULT_SIZE
    if min(size) < least:
        raise UsageError(
            f"data set 'shapes' needs pictures of {least}x{least} pixels at least, not "
            f"{size[0]}x{size[1]}: set config.dataset.image_size"
        )
    if with_captions:
        return told_shapes.ToldShapes(split, size)
    return Shapes(split, size, dataset.most_boxes, with_ground="boxes" not in fields[:1])


class Shapes:
    """Pictures with label maps and boxes; computed when read, never stored.

    Example `i` depends on the split and `i` alone; its first shape, which no other covers, is one of
    `CLASS_NAMES[1 + i % 5]`.
    """

    note = ""
    objects: np.ndarray | None = None

    def __init__(
        self,
        split: str,
        size: tuple[int, int],
        most_boxes: int = _MOST,
        *,
        with_ground: bool = True,
    ):
        """`class_names` are those of label maps if `with_ground`, else those of boxes, which are one less."""
        self.split = split
        self._size = size
        self._first = 0 if with_ground else 1
        self.class_names = CLASS_NAMES[self._first :]
        self.fields: Mapping[str, Field] = {
            "label_map": Mask(len(CLASS_NAMES), IGNORE),
            "boxes": Boxes(len(CLASS_NAMES) - 1, most_boxes),
        }
        self.image_shape: ImageShape = (*size, 3)
        self.names = range(EXAMPLES[split])
        self.labels: np.ndarray = self._class_of(np.arange(EXAMPLES[split])) - self._first

    @staticmethod
    def _class_of(index: Any) -> Any:
        """Of the first shape of an example, as label maps have it."""
        return 1 + index % (len(CLASS_NAMES) - 1)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [self._record(i) for i in indices]

    def _record(self, index: int) -> Record:
        rng = np.random.default_rng([list(EXAMPLES).index(self.split), index])
        height, width = self._size
        coarse = rng.integers(60, 196, (_GRID, _GRID, 3), np.uint8)
        ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        picture = outlines.noisy(ground, rng)
        label_map = np.zeros((height, width), np.uint8)
        classes = rng.integers(1, len(CLASS_NAMES), rng.integers(1, _MOST + 1))
        classes[0] = self._class_of(index)
        shapes: list[np.ndarray] = []
        for label in reversed(classes):  # the first is drawn last
            outline = outlines.outline(CLASS_NAMES[label], *_place(rng, height, width))
            inside = np.zeros_like(label_map)
            cv2.fillPoly(inside, outline, 1)
            colour = _colour(rng, ground.mean(axis=(0, 1)))
            shade = outlines.shaded(colour, rng, height, width)
            picture = np.where(inside[..., None], shade, picture)
            label_map[inside > 0] = label
            cv2.polylines(label_map, outline, isClosed=True, color=IGNORE)
            shapes.append(inside > 0)
        boxes = _boxes(shapes[::-1], classes - 1)
        return Record(picture, {"label_map": label_map, "boxes": boxes})

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"shapes/{self.split}[{index}]"

    def place(self, index: int) -> Hashable:
        """See `Whole.place`."""
        return self.split, index


def _place(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, float, float]:
    """Centre (x, y), radius and angle of a shape that lies within the picture."""
    radius = rng.uniform(*_RADII) * min(height, width)
    margin = radius + 1
    centre = rng.uniform([margin, margin], [width - margin, height - margin])
    return centre, radius, rng.uniform(-_TILT, _TILT)


def _boxes(shapes: Sequence[np.ndarray], labels: np.ndarray) -> StoredBoxes:
    """Around what is visible of shapes (H, W) bool, each of which may lie over those behind it."""
    corners, label, crowd, area = [], [], [], []
    covered = np.zeros_like(shapes[0])
    for shape, each in zip(shapes, labels, strict=True):
        visible = shape & ~covered
        covered |= shape
        if not visible.any():
            continue
        x, y = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
        corners.append([x[0], y[0], x[-1] + 1, y[-1] + 1])
        label.append(each)
        crowd.append(visible.sum() < LEAST_VISIBLE * shape.sum())
        area.append(visible.sum())
    return StoredBoxes(corners, label, crowd, area=area)


def _colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    while True:
        colour = rng.integers(20, 236, 3)
        if np.abs(colour - ground).max() >= _CONTRAST:
            return colour
