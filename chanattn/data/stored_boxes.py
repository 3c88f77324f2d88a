"""The objects of pictures as sources give them, and which of them are none: without area, or outside."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

#: How far a box may reach beyond its picture, in pixels, without being told of: annotations are rounded.
_TOLD_PIXELS = 1.0


class StoredBoxes(NamedTuple):
    """The objects of one picture as a source gives them.

    Attributes:
        corners: (N, 4) x0, y0, x1, y1 in pixels of the stored picture.
        label: (N,) classes.
        crowd: (N,) whether a box surrounds many objects; None: none does.
        relative: the corners are fractions of width and height instead.
        area: (N,) of the objects in pixels, 0 where nobody has said, which makes it that of the box;
            None: nobody has said of any.
        size: (height, width) of the picture that was annotated, which `area` is of; None: the stored one.
    """

    corners: Any
    label: Any
    crowd: Any = None
    relative: bool = False
    area: Any = None
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Sorted:
    """Boxes, cut off at the borders of their pictures, and what is wrong with them.

    Attributes:
        corners: (N, 4), cut off.
        without_area: (N,) the corners enclose nothing; NaN does not either.
        outside: (N,) the box lies wholly outside of its picture.
        beyond: (N,) it reaches beyond its picture by more than rounding explains.
    """

    corners: np.ndarray
    without_area: np.ndarray
    outside: np.ndarray
    beyond: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """(N,) whether the box is kept."""
        real: np.ndarray = ~(self.without_area | self.outside)
        return real

    def note(self, first: str = "") -> str:
        """What became of the boxes, in one line; empty if nothing did.

        Args:
            first: The picture of the first one that is not kept.
        """
        kinds = {
            "without area": self.without_area.sum(),
            "outside of the picture": self.outside.sum(),
        }
        parts = []
        if dropped := ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count):
            parts.append(f"boxes left out: {dropped}{f' (the first in {first})' if first else ''}")
        if count := int(self.beyond.sum()):
            parts.append(f"boxes cut off that reach beyond their picture: {count:,}")
        return "; ".join(parts)


def sort_out(corners: np.ndarray, size: Any, told: float = _TOLD_PIXELS) -> Sorted:
    """Cuts boxes off at the borders of their pictures, and finds those of which nothing is left.

    Args:
        corners: (N, 4) x0, y0, x1, y1.
        size: (height, width) of the picture, or (N, 2), of each box's; inf where it is unknown.
        told: How far a box may reach beyond its picture without being told of, in the unit of `size`.
    """
    width_and_height = np.asarray(size, np.float32)[..., ::-1]
    cut = np.clip(corners, 0, np.concatenate([width_and_height, width_and_height], axis=-1))
    without_area = ~_enclosing(corners)
    outside = ~without_area & ~_enclosing(cut)
    beyond = (np.abs(cut - corners) > told).any(axis=1) & ~without_area & ~outside
    return Sorted(cut, without_area, outside, beyond)


def _enclosing(corners: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.all(corners[:, 2:] > corners[:, :2], axis=1)
    return found
