"""What the layouts of folders with boxes share: the objects of a split, checked and counted.

Boxes of no area and those wholly outside of their picture are left out, others are cut off at its borders;
`BoxesFolder.note` counts both. Pictures without objects stay.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chanattn.data.fields import Boxes, Field, StoredBoxes, too_many
from chanattn.data.sources import folder
from chanattn.data.sources.folder_label_maps import CLASSES, read_classes
from chanattn.data.stored_boxes import sort_out
from chanattn.errors import UsageError, some

NAMES = "classes.txt"
_TOLD_SHARE = 0.01  # of a side: what a box in fractions may reach beyond its picture untold


class Object(NamedTuple):
    """One object of a split.

    Attributes:
        picture: Number of its picture.
        corners: x0, y0, x1, y1 in pixels, or fractions of the sides.
        label: Its class.
        crowd: See `StoredBoxes`.
        area: See `StoredBoxes`; 0: unknown.
    """

    picture: int
    corners: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    area: float = 0.0


class BoxesFolder(folder.Files):
    """One split of such a folder."""

    def __init__(
        self,
        place: Path,
        pictures: Sequence[str],
        links: Collection[str],
        class_names: Sequence[str],
        objects: Sequence[Object],
        *,
        most: int,
        sizes: Sequence[tuple[int, int]] | None = None,
        relative: bool = False,
        notes: Iterable[str] = (),
    ):
        """Checks and counts.

        Args:
            place: The folder of the pictures.
            pictures: Their paths in it.
            links: Those of them that are links.
            class_names: In the order of the labels.
            objects: Of all pictures, in any order.
            most: Objects of one picture that there is room for.
            sizes: (height, width) of each picture as annotated, (0, 0) where that is unknown; None: of none.
            relative: The corners are fractions.
            notes: What else was passed over.

        Raises:
            UsageError: A picture has more objects than that, or a corner is no finite number.
        """
        super().__init__(place, pictures, links)
        self.class_names = tuple(class_names)
        self.fields: Mapping[str, Field] = {"boxes": Boxes(len(class_names), most)}
        self.labels = np.zeros(len(pictures), np.int32)  # so that a part is a random one
        objects = sorted(objects, key=lambda each: each.picture)
        picture = np.array([each.picture for each in objects], np.int64)
        self._first = np.searchsorted(picture, np.arange(len(pictures) + 1))
        self._corners = np.array([each.corners for each in objects], np.float32).reshape(-1, 4)
        self._label = np.array([each.label for each in objects], np.int32)
        self._crowd = np.array([each.crowd for each in objects], bool)
        self._area = np.array([each.area for each in objects], np.float32)
        self._sizes = None if sizes is None else np.array(sizes, np.int32).reshape(-1, 2)
        self._relative = relative
        for number in picture[~np.isfinite(self._corners).all(axis=1)]:
            raise UsageError(
                f"{self.describe(number)} has a box with a corner that is no finite number: mend it"
            )
        size: object = np.inf, np.inf
        if relative:
            size = 1.0, 1.0
        elif self._sizes is not None:
            size = np.where(self._sizes > 0, self._sizes, np.inf)[picture]
        found = sort_out(self._corners, size, _TOLD_SHARE if relative else 1.0)
        dropped = picture[~found.real]
        self.objects = np.bincount(picture[found.real], minlength=len(pictures))
        if len(pictures) and (count := int(np.max(self.objects))) > most:
            name = self.describe(int(np.argmax(self.objects)))
            raise UsageError(f"{name} {too_many(count, most)}")
        told = found.note(self.describe(dropped[0]) if len(dropped) else "")
        self.note = "; ".join(note for note in (*notes, told) if note)

    def fields_of(self, index: int) -> dict[str, Any]:
        """See `Files.fields_of`."""
        own = slice(self._first[index], self._first[index + 1])
        size = None if self._sizes is None else tuple(self._sizes[index].tolist())
        boxes = StoredBoxes(
            self._corners[own],
            self._label[own],
            self._crowd[own],
            self._relative,
            self._area[own],
            size if size and all(size) else None,
        )
        return {"boxes": boxes}


def check_pixels(objects: Sequence[Object], where: object) -> None:
    """Refuses boxes that are fractions where they should be pixels: most of them within 0 to 1.

    Not all, because some reach beyond their picture, and rounding does the rest.

    Raises:
        UsageError: So they are.
    """
    if objects and np.median([max(each.corners) for each in objects]) <= 1:
        raise UsageError(
            f"most boxes of {where} lie within 0 to 1, as fractions do, and must be in pixels: multiply them "
            "by the width and the height of the picture"
        )


def class_names(root: Path) -> tuple[str, ...] | None:
    """Names of the classes, of `classes.txt`, one a line, or of `classes.json`; None if there is neither.

    Raises:
        UsageError: It is damaged, or names a class twice.
    """
    if (path := root / NAMES).is_file():
        names = [line.strip() for line in text_of(path).splitlines() if line.strip()]
        check_names(names, path)
        return tuple(names)
    if (path := root / CLASSES).is_file():
        return read_classes(path)[0]
    return None


def check_names(names: Sequence[str], path: object) -> None:
    """Raises UsageError if there are no names of classes, or two alike."""
    if not names or not all(name.strip() for name in names):
        what = "a class without a name" if names else "no classes"
        raise UsageError(f"{path} names {what}: write it there")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{path} names the class {name!r} {count} times: give each its own name")


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        UsageError: It cannot be read, or is no text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error.reason}): mend it") from error


def paired(
    pictures: Sequence[str], annotations: Sequence[str], where: Path, beside: Path, suffix: str
) -> tuple[dict[str, int], str]:
    """Which picture each annotation, of the same path but for the suffix, is of.

    Args:
        pictures: Paths in `where`.
        annotations: Paths in `beside`.
        where: The folder of the pictures.
        beside: That of the annotations.
        suffix: Of these.

    Returns:
        The number of the picture by the annotation; and, in one line, how many pictures have none, which are
        without objects.

    Raises:
        UsageError: There are no pictures or no annotations, two of a name, or annotations without a picture.
    """
    if not pictures:
        raise UsageError(f"{where} holds no pictures: {', '.join(folder.SUFFIXES)}")
    if not annotations:
        raise UsageError(
            f"{beside} holds no annotations: put NAME{suffix} there for each NAME of a picture"
        )
    number: dict[str, int] = {}
    for index, name in enumerate(pictures):
        other = number.setdefault(stem(name), index)
        if other != index:
            raise UsageError(f"{where} holds {pictures[other]} and {name}: keep one of that name")
    alone = [name for name in annotations if stem(name) not in number]
    if alone:
        raise UsageError(
            f"{len(alone):,} annotation{'s' if len(alone) > 1 else ''} in {beside} without a picture of the "
            f"same name in {where} ({some(alone)}): add the pictures, or take the annotations away"
        )
    without = len(pictures) - len(annotations)
    note = f"pictures without annotations, taken as without objects: {without:,}" if without else ""
    return {name: number[stem(name)] for name in annotations}, note


def stem(name: str) -> str:
    """The path without the suffix."""
    return os.path.splitext(name)[0]
