"""Folders of pictures with boxes in YOLO's text files, one of the same path for each picture.

Two layouts: `root/images/SPLIT` and `root/labels/SPLIT`, and `root/SPLIT/images` and `root/SPLIT/labels`. A
picture without a text file, or with an empty one, shows no objects.

Each line is an object: the number of its class from 0 on, then the centre (x, y), the width and the height of
its box as fractions of those of the picture. The names of the classes stand in `root/data.yaml` (`names`, a
list, or a mapping from numbers; nothing else of it is looked at), in `root/classes.txt`, one a line, or in
`root/classes.json`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from chanattn.data.sources import folder
from chanattn.data.sources.folder_boxes import (
    NAMES,
    BoxesFolder,
    Object,
    check_names,
    class_names,
    paired,
    text_of,
)
from chanattn.data.sources.folder_label_maps import CLASSES
from chanattn.errors import UsageError

_IMAGES, _LABELS, _SUFFIX, _YAML = "images", "labels", ".txt", "data.yaml"
_MOST = 1.01  # a fraction that was rounded up is none of pixels yet


def open_split(dataset: ConfigDict, root: Path, split: str) -> BoxesFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: A file is damaged or says what cannot be, there are annotations without pictures, or
            nobody names the classes.
    """
    for place, beside in (
        (root / _IMAGES / split, root / _LABELS / split),
        (root / split / _IMAGES, root / split / _LABELS),
    ):
        if place.is_dir() and beside.is_dir():
            break
    else:
        return None
    below = folder.annotated_below(place, _SUFFIX)
    files = folder.annotated_below(beside, _SUFFIX).annotations
    if (
        NAMES not in below.pictures
    ):  # some tools put the names of the classes beside the annotations
        files = [name for name in files if name != NAMES]
    numbers, note = paired(below.pictures, files, place, beside, _SUFFIX)
    classes = _class_names(root)
    objects = [
        each
        for name, number in numbers.items()
        for each in _objects(beside / name, number, len(classes))
    ]
    return BoxesFolder(
        place,
        below.pictures,
        below.links,
        classes,
        objects,
        most=dataset.most_boxes,
        relative=True,
        notes=(below.note, note),
    )


def _objects(file: Path, picture: int, classes: int) -> Iterator[Object]:
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{file}, line {number}"
        try:
            label, x, y, width, height = map(float, words)
        except ValueError:
            raise UsageError(
                f"{where}: must be five numbers, the class and the x, y, width and height of the box, not "
                f"{line[:60]!r}"
            ) from None
        if not (label.is_integer() and 0 <= label < classes):
            raise UsageError(
                f"{where}: has the class {words[0]}, which is none of the {classes}, 0 to {classes - 1}"
            )
        if not max(x, y, width, height) <= _MOST:
            raise UsageError(
                f"{where}: has a box of {' '.join(words[1:])}, and must have fractions of the width and the "
                "height of the picture: divide pixels by these"
            )
        corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        yield Object(picture, corners, int(label))


def _class_names(root: Path) -> tuple[str, ...]:
    if not (path := root / _YAML).is_file():
        told = class_names(root)
        if told is None:
            raise UsageError(
                f"nobody names the classes of {root}: write a {_YAML} with `names`, a {NAMES} with one a "
                f"line, or a {CLASSES}"
            )
        return told
    text = text_of(path)
    try:
        content = _KeysOnce(text).get_single_data()
    except Exception as error:  # of scalars that are not what their tag says it raises anything
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is damaged ({reason}): write it again") from error
    names = _in_order(content.get("names") if isinstance(content, dict) else None)
    if names is None:
        raise UsageError(
            f"{path} must name the classes: names: [cat, dog], or a mapping of 0, 1, ... to names, quoted "
            'where YAML means something else, such as "no"'
        )
    check_names(names, path)
    return tuple(names)


class _KeysOnce(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which YAML's own would keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _in_order(names: Any) -> list[str] | None:
    """A list of names as it is, or of the values of 0, 1, ...; None for all else."""
    if isinstance(names, dict):
        names = [names.get(number) for number in range(len(names))]
    if not isinstance(names, list) or not names:
        return None
    # What YAML takes for something else than a text, as it does with `no`, is not made into one.
    told = all(isinstance(name, str) or type(name) is int for name in names)
    return [str(name) for name in names] if told else None
