"""What an example carries beside its picture: fields of a few kinds, and how a geometric change moves each.

A kind is a small dataclass that says which arrays of fixed shape a field fills in a batch, how a stored value
becomes them, and how they move under a `Placement`. The arrays are named after the field, `boxes` and
`boxes_label` for the field `boxes`. Free of JAX, because worker processes use it; what moves arrays is
written against the array API (https://data-apis.org/array-api), so that it runs on the arrays of NumPy and,
inside `jit` and under `vmap`, on those of JAX.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from chanattn.data.decode import NotLabels, decode_labels
from chanattn.data.stored_boxes import StoredBoxes, sort_out

__all__ = [
    "PLACE",
    "VOID",
    "Array",
    "Boxes",
    "Field",
    "Label",
    "Mask",
    "Parts",
    "Placement",
    "StoredBoxes",
    "Whereabouts",
    "WrongValue",
    "arrays_of",
    "split",
    "too_many",
]

#: Sides in pixels, and shares, below which what a cut has left of a box is no longer an example of its class.
LEAST_SIDE, LEAST_VISIBLE = 2.0, 0.3
#: What a box may reach beyond the result by rounding alone, in pixels.
_ROUNDING = 0.01
#: What a label map of a batch holds where a pixel has no class, whatever the data set writes there.
VOID = -1
#: Name of the field of the kind `Whereabouts`.
PLACE = "whereabouts"
_SAME_SIZE = "they must have the same size"
_TURNED = "orientation tags are ignored, so turn the stored picture"
#: The arrays of one field of one example, by what follows the name of the field.
Parts = dict[str, Any]


class WrongValue(ValueError):
    """A stored value that the field cannot hold; the text follows the name of the example."""


class Placement(NamedTuple):
    """Where a picture lies in the result of a geometric change: scaled, cropped, padded, mirrored.

    Pixel (0, 0) covers the points from (0, 0) to (1, 1). A point (y, x) of the stored picture goes to
    `((y - top) * scale_y, (x - left) * scale_x)`, and with `mirrored` the result is turned left-right.

    Attributes:
        stored: (height, width) of the picture.
        size: (height, width) of the result.
        top, left: the point that comes to lie in the corner; negative where the result begins with padding.
        scale_y, scale_x: pixels of the result for one of the picture.
        mirrored: whether left and right are exchanged.
    """

    stored: tuple[int, int]
    size: tuple[int, int]
    top: Any = 0.0
    left: Any = 0.0
    scale_y: Any = 1.0
    scale_x: Any = 1.0
    mirrored: Any = False

    def back(self, values: np.ndarray) -> np.ndarray:
        """Values (h, w) of the pixels of the result, at those of the stored picture: (H, W).

        Interpolated bilinearly between the centres of pixels, and exact where these coincide; what lies
        beyond the picture in the result, as padding does, has no influence.
        """
        if self.mirrored:
            values = values[:, ::-1]
        rows, columns = (
            _between(stored, start, scale, size)
            for stored, start, scale, size in zip(
                self.stored,
                (self.top, self.left),
                (self.scale_y, self.scale_x),
                self.size,
                strict=True,
            )
        )
        values = _mixed(values, *rows)
        return _mixed(values.T, *columns).T

    def corners_back(self, corners: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) of the result in pixels of the stored picture, cut off at its borders.

        They are x0, y0, x1, y1.
        """
        x0, y0, x1, y1 = np.moveaxis(np.asarray(corners, np.float64), -1, 0)
        if self.mirrored:
            x0, x1 = self.size[1] - x1, self.size[1] - x0
        x0, x1 = (np.clip(x / self.scale_x + self.left, 0, self.stored[1]) for x in (x0, x1))
        y0, y1 = (np.clip(y / self.scale_y + self.top, 0, self.stored[0]) for y in (y0, y1))
        return np.stack([x0, y0, x1, y1], axis=-1)


class Array(NamedTuple):
    """One array of a batch: shape without the examples, type, and value in padding and corrupt examples."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    fill: int = 0


class Field(Protocol):
    """A kind of field, with what a source knows of it.

    Attributes:
        kind: as `chanattn.config` names it, where it says which augmentations a kind can follow.
        keep_whole: whether pictures of other sizes are fitted in whole, with padding, rather than cropped.
    """

    kind: ClassVar[str]

    @property
    def keep_whole(self) -> bool:
        """See above."""

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """The arrays that it fills, for pictures of `size`, by what follows the name of the field."""

    def stored(self, value: Any) -> Any:
        """The stored value, decoded if it is encoded.

        Raises:
            CorruptImage: It cannot be decoded.
        """

    def load(self, value: Any, to: Placement) -> Parts:
        """The arrays of one example from its stored value, moved as its picture was.

        Raises:
            WrongValue: The field cannot hold the value.
            CorruptImage: The value is encoded, and cannot be decoded.
        """

    def move(self, parts: Parts, to: Placement) -> Parts:
        """The arrays of one example after a geometric change of its picture; of NumPy, or traced by JAX."""


@dataclasses.dataclass(frozen=True)
class Label:
    """The class of the whole picture; stored as a number.

    Attributes:
        classes: how many there are.
    """

    classes: int
    kind: ClassVar[str] = "label"
    keep_whole: ClassVar[bool] = False

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """`NAME` () int32."""
        del size
        return {"": Array((), np.int32)}

    def stored(self, value: int) -> int:
        """See `Field.stored`."""
        return value

    def load(self, value: int, to: Placement) -> Parts:
        """See `Field.load`."""
        if not 0 <= value < self.classes:
            raise WrongValue(
                f"has label {value}, which is none of the {self.classes} classes: choose a split with labels"
            )
        return {"": value}

    def move(self, parts: Parts, to: Placement) -> Parts:
        """A class is the same wherever the picture lies."""
        return parts


@dataclasses.dataclass(frozen=True)
class Mask:
    """The class of every pixel; stored as an encoded picture of one channel, or as integers (H, W).

    Values are never mixed: a pixel of the result has the value of the one below its centre.

    Attributes:
        classes: how many there are.
        ignore: the stored value of pixels without a class, which are `VOID` in a batch, as are those outside
            of the picture; None: all have one.
    """

    classes: int
    ignore: int | None
    kind: ClassVar[str] = "mask"
    keep_whole: ClassVar[bool] = True

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """`NAME` (H, W) of the smallest integers that hold the classes and `VOID`; int32 once prepared."""
        return {"": Array(size, np.min_scalar_type(-self.classes).type, VOID)}

    def stored(self, value: bytes | np.ndarray) -> np.ndarray:
        """See `Field.stored`; integers (H, W).

        Raises:
            WrongValue: It is a picture of another kind than label maps are.
        """
        try:
            return decode_labels(value) if isinstance(value, bytes) else value
        except NotLabels as error:
            raise WrongValue(f"has a label map {error}") from error

    def load(self, value: bytes | np.ndarray, to: Placement) -> Parts:
        """See `Field.load`."""
        labels = self.stored(value)
        if labels.shape != to.stored:
            turned = labels.shape == to.stored[::-1]
            raise WrongValue(
                f"has a label map of {_size(labels.shape)} pixels, and a picture of {_size(to.stored)}: "
                + (_TURNED if turned else _SAME_SIZE)
            )
        without = labels == self.ignore if self.ignore is not None else np.zeros(labels.shape, bool)
        strange = ((labels < 0) | (labels >= self.classes)) & ~without
        if strange.any():
            void = "no void is declared" if self.ignore is None else f"void is {self.ignore}"
            raise WrongValue(
                f"has a label map with the value {labels[strange][0]}, which is none of the {self.classes} "
                f"classes, 0 to {self.classes - 1}, and {void}: mend it, or declare the value of pixels "
                "without a class as void"
            )
        dtype = self.arrays(to.size)[""].dtype
        labels = np.where(without, VOID, labels.astype(dtype, copy=False))
        return self.move({"": labels}, to)

    def move(self, parts: Parts, to: Placement) -> Parts:
        """The nearest pixel, measured between centres; `VOID` outside of the picture."""
        labels = parts[""]
        xp = labels.__array_namespace__()
        (height, width), (rows, columns) = to.stored, to.size
        y, inside_y = _nearest(xp.arange(rows), to.top, to.scale_y, height)
        x = xp.arange(columns)
        x = xp.where(to.mirrored, columns - 1 - x, x)
        x, inside_x = _nearest(x, to.left, to.scale_x, width)
        inside = inside_y[:, None] & inside_x[None, :]
        moved = xp.where(inside, labels[y][:, x], VOID)
        return {"": moved.astype(labels.dtype)}


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The objects of a picture, each a class and a box; stored as `StoredBoxes`.

    A stored box is cut off at the borders of its picture, and left out if nothing remains: it has no area, or
    lies outside. When the picture is moved, it is cut off at the borders of the result. One that was cut
    there is dropped if less than 2 pixels of a side are left, or less than 0.3 of its area (which is not
    asked of crowds: they only say where nothing is known). Those that lie whole in the result are kept,
    however small: an evaluation counts them.

    Attributes:
        classes: how many there are.
        most: of one picture; the arrays have room for so many.
    """

    classes: int
    most: int
    kind: ClassVar[str] = "boxes"
    keep_whole: ClassVar[bool] = True

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """The four arrays of M rows.

        `NAME` (M, 4) float32: x0, y0, x1, y1 in pixels; `NAME_label` (M,) int32; `NAME_crowd` (M,) bool;
        `NAME_area` (M,) float32, of the object in pixels of the stored picture, wherever that is moved. Rows
        without a box, which may lie between others, have the label -1.
        """
        del size
        return {
            "": Array((self.most, 4), np.float32),
            "_label": Array((self.most,), np.int32, -1),
            "_crowd": Array((self.most,), np.bool_),
            "_area": Array((self.most,), np.float32),
        }

    def stored(self, value: StoredBoxes) -> StoredBoxes:
        """See `Field.stored`."""
        return value

    def load(self, value: StoredBoxes, to: Placement) -> Parts:
        """See `Field.load`."""
        corners = np.asarray(value.corners, np.float32).reshape(-1, 4)
        label = np.asarray(value.label, np.int32)
        self._check(value, corners, label, to.stored)
        height, width = to.stored
        if value.relative:
            corners = corners * np.array([width, height, width, height], np.float32)
        found = sort_out(corners, to.stored)
        real, corners = found.real, found.corners
        count = int(real.sum())
        if count > self.most:
            raise WrongValue(too_many(count, self.most))
        sides = corners[:, 2:] - corners[:, :2]
        area = sides[:, 0] * sides[:, 1]
        if value.area is not None:
            annotated_height, annotated_width = value.size or to.stored
            told = np.asarray(value.area, np.float32)
            told = told * np.float32(height * width / (annotated_height * annotated_width))
            area = np.where(told > 0, told, area)
        parts = {
            suffix: np.full(array.shape, array.fill, array.dtype)
            for suffix, array in self.arrays(to.size).items()
        }
        parts[""][:count], parts["_label"][:count] = corners[real], label[real]
        parts["_area"][:count] = area[real]
        if value.crowd is not None:
            parts["_crowd"][:count] = np.asarray(value.crowd, bool)[real]
        return self.move(parts, to)

    def _check(
        self, value: StoredBoxes, corners: np.ndarray, label: np.ndarray, stored: tuple[int, int]
    ) -> None:
        if not np.isfinite(corners).all():
            raise WrongValue("has a box with a corner that is no finite number")
        if label.size and not 0 <= label.min() <= label.max() < self.classes:
            strange = label[(label < 0) | (label >= self.classes)][0]
            raise WrongValue(
                f"has a box of class {strange}, which is none of the {self.classes} classes"
            )
        if value.size is None or value.relative or tuple(value.size) == stored:
            return
        raise WrongValue(
            f"has boxes of a picture of {_size(value.size)} pixels, and is one of {_size(stored)}: "
            + (_TURNED if tuple(value.size) == stored[::-1] else _SAME_SIZE)
        )

    def move(self, parts: Parts, to: Placement) -> Parts:
        """See the rule above."""
        label, crowd, area = parts["_label"], parts["_crowd"], parts["_area"]
        xp = label.__array_namespace__()
        corners = xp.where((label >= 0)[..., None], parts[""], 0)  # others may hold anything
        height, width = to.size
        x0, y0, x1, y1 = (corners[..., i] for i in range(4))
        x0, x1 = (x0 - to.left) * to.scale_x, (x1 - to.left) * to.scale_x
        y0, y1 = (y0 - to.top) * to.scale_y, (y1 - to.top) * to.scale_y
        x0, x1 = xp.where(to.mirrored, width - x1, x0), xp.where(to.mirrored, width - x0, x1)
        moved = xp.stack([x0, y0, x1, y1], axis=-1)
        limits = xp.asarray([width, height, width, height], dtype=moved.dtype)
        seen = xp.clip(moved, 0, limits)
        sides = seen[..., 2:] - seen[..., :2]
        visible = sides[..., 0] * sides[..., 1]
        too_little = ~crowd & (visible < LEAST_VISIBLE * (x1 - x0) * (y1 - y0))
        cut = (abs(seen - moved) > _ROUNDING).any(axis=-1)
        dropped = cut & ((sides < LEAST_SIDE).any(axis=-1) | too_little)
        kept = (label >= 0) & ~dropped & (sides > 0).all(axis=-1)
        return {
            "": xp.where(kept[..., None], seen, 0).astype(parts[""].dtype),
            "_label": xp.where(kept, label, -1).astype(label.dtype),
            "_crowd": crowd & kept,
            "_area": xp.where(kept, area, 0).astype(area.dtype),
        }


def too_many(count: int, most: int) -> str:
    """That a picture has more objects than there is room for; the text follows the name of the picture."""
    return f"has {count} objects, more than config.dataset.most_boxes={most}: raise that to {count}"


@dataclasses.dataclass(frozen=True)
class Whereabouts:
    """How the picture itself was moved: for answers that have a place in it. Nothing is stored.

    Attributes:
        keep_whole: see `Field`.
    """

    keep_whole: bool
    kind: ClassVar[str] = "whereabouts"

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """`NAME` (6,) float64: height and width as stored, top, left, and both scales."""
        del size
        return {"": Array((6,), np.float64)}

    def stored(self, value: None) -> None:
        """See `Field.stored`."""
        return value

    def load(self, value: None, to: Placement) -> Parts:
        """See `Field.load`."""
        return {"": np.array([*to.stored, to.top, to.left, to.scale_y, to.scale_x], np.float64)}

    def move(self, parts: Parts, to: Placement) -> Parts:
        """Only pictures that are not augmented have it."""
        raise NotImplementedError

    @staticmethod
    def placement(row: np.ndarray, size: tuple[int, int]) -> Placement:
        """What a row tells of a picture that was brought to `size`."""
        height, width, *numbers = row.tolist()
        return Placement((int(height), int(width)), size, *numbers)


def arrays_of(fields: Mapping[str, Field], size: tuple[int, int]) -> dict[str, Array]:
    """All arrays that some fields fill in a batch, by name."""
    return {
        name + suffix: array
        for name, field in fields.items()
        for suffix, array in field.arrays(size).items()
    }


def split(batch: Mapping[str, Any], name: str, field: Field) -> Parts:
    """The arrays of one field in a batch, as `Field.move` takes them."""
    return {suffix: batch[name + suffix] for suffix in field.arrays((0, 0))}


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _nearest(index: Any, start: Any, scale: Any, length: int) -> tuple[Any, Any]:
    """Which of `length` stored pixels lies below the centre of each of a result, and whether one does."""
    xp = index.__array_namespace__()
    below = xp.floor((index + 0.5) / scale + start).astype(np.int32)
    return xp.clip(below, 0, length - 1), (below >= 0) & (below < length)


def _between(
    stored: int, start: float, scale: float, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between which two pixels of a result each stored one lies, and the weight of the second."""
    place = (np.arange(stored) + 0.5 - start) * scale - 0.5
    first = max(0, math.floor(-start * scale))
    last = min(size, math.ceil((stored - start) * scale)) - 1
    place = np.clip(place, first, max(first, last))
    below = np.floor(place).astype(np.int64)
    return below, np.minimum(below + 1, size - 1), (place - below).astype(np.float32)


def _mixed(
    values: np.ndarray, one: np.ndarray, other: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Rows of values (h, w), two and two: (H, w)."""
    weight = weight[:, None]
    mixed: np.ndarray = values[one] * (1 - weight) + values[other] * weight
    return mixed
