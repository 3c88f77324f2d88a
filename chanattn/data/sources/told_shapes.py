"""Drawn shapes with captions: one or two in five colours and two sizes on grey ground, and how they lie.

    a small red circle is left of a large blue square        there is a large green cross

Two shapes never overlap, and lie clearly beside or above each other; a picture with two has both captions
that say so, from either shape. Words say what (colours, forms, sizes) and where, so that channels and places
are both needed. Some pairs of colour and form, `HELD_OUT`, are in no picture of `train`, `validation` and
`test`: every first shape of the split `held_out` is one of them.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from chanattn.data.captions import FIELD, Captions
from chanattn.data.fields import Field
from chanattn.data.source import ImageShape, Record
from chanattn.data.sources import outlines

LEAST_SIDE = (
    32  # in smaller ones there is no place for two large shapes, or it takes long to find one
)
EXAMPLES = {"train": 2000, "validation": 500, "test": 500, "held_out": 500}
COLOURS = {
    "red": (205, 45, 45),
    "green": (50, 160, 70),
    "blue": (50, 85, 215),
    "yellow": (235, 205, 55),
    "white": (240, 240, 240),
}
FORMS = ("circle", "square", "triangle", "cross")
SIZES = {"small": (0.09, 0.12), "large": (0.19, 0.23)}  # radii, of the shorter side
RELATIONS = ("left of", "right of", "above", "below")
HELD_OUT = (("red", "cross"), ("green", "square"), ("blue", "circle"), ("yellow", "triangle"))
_SEEN = tuple((c, f) for c in COLOURS for f in FORMS if (c, f) not in HELD_OUT)
_ALONE = 0.25  # share of pictures with a single shape
_GRID = 5  # as in `shapes`
_TILT = 0.2  # radians, to either side
_APART = 2.0  # how much farther apart two are along one side than along the other
_GAP = 2  # pixels between two


class _Shape(NamedTuple):
    size: str
    colour: str
    form: str
    centre: np.ndarray  # x, y
    radius: float

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.form}"


class ToldShapes:
    """Pictures with captions; computed when read, never stored.

    Example `i` depends on the split and `i` alone.
    """

    note = ""
    objects: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def __init__(self, split: str, size: tuple[int, int]):
        self.split = split
        self._size = size
        self.fields: Mapping[str, Field] = {FIELD: Captions()}
        self.image_shape: ImageShape = (*size, 3)
        self.names = range(EXAMPLES[split])
        self.labels: np.ndarray = np.zeros(EXAMPLES[split], np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def captions_of(self, index: int) -> Sequence[str]:
        """See `chanattn.data.captions.Described`."""
        return _captions(self._shapes(self._random(index)))

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [self._record(i) for i in indices]

    def _random(self, index: int) -> np.random.Generator:
        return np.random.default_rng([list(EXAMPLES).index(self.split), index])

    def _shapes(self, rng: np.random.Generator) -> list[_Shape]:
        first = HELD_OUT if self.split == "held_out" else _SEEN
        kinds = [first[rng.integers(len(first))], _SEEN[rng.integers(len(_SEEN))]]
        sizes = [list(SIZES)[i] for i in rng.integers(len(SIZES), size=2)]
        number = 1 if rng.random() < _ALONE else 2
        while True:
            shapes = [_placed(rng, self._size, *each) for each in zip(sizes, kinds, strict=True)][
                :number
            ]
            if number == 1 or _lie_clearly(*shapes):
                return shapes

    def _record(self, index: int) -> Record:
        rng = self._random(index)
        shapes = self._shapes(rng)
        height, width = self._size
        coarse = rng.integers(60, 150, (_GRID, _GRID, 1), np.uint8).repeat(3, axis=2)
        ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        picture = outlines.noisy(ground, rng)
        for shape in shapes:
            inside = np.zeros((height, width), np.uint8)
            tilt = rng.uniform(-_TILT, _TILT)
            cv2.fillPoly(inside, outlines.outline(shape.form, shape.centre, shape.radius, tilt), 1)
            colour = np.array(COLOURS[shape.colour])
            picture = np.where(
                inside[..., None], outlines.shaded(colour, rng, height, width), picture
            )
        return Record(picture, {FIELD: _captions(shapes)})

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"shapes/{self.split}[{index}]"

    def place(self, index: int) -> Hashable:
        """See `Whole.place`."""
        return self.split, index


def _placed(
    rng: np.random.Generator, picture: tuple[int, int], size: str, kind: tuple[str, str]
) -> _Shape:
    """A shape that lies within the picture."""
    height, width = picture
    radius = rng.uniform(*SIZES[size]) * min(height, width)
    margin = radius + 1
    centre = rng.uniform([margin, margin], [width - margin, height - margin])
    return _Shape(size, *kind, centre, radius)


def _lie_clearly(one: _Shape, other: _Shape) -> bool:
    """Whether nobody would call their relation otherwise, and they do not touch."""
    less, more = sorted(abs(one.centre - other.centre))
    return bool(more >= _APART * less and more >= one.radius + other.radius + _GAP)


def _captions(shapes: Sequence[_Shape]) -> tuple[str, ...]:
    if len(shapes) == 1:
        return (f"there is {shapes[0]}",)
    return tuple(
        f"{one} is {_relation(one, other)} {other}" for one, other in (shapes, shapes[::-1])
    )


def _relation(one: _Shape, other: _Shape) -> str:
    x, y = one.centre - other.centre
    left, right, above, below = RELATIONS
    if abs(x) > abs(y):
        return left if x < 0 else right
    return above if y < 0 else below
