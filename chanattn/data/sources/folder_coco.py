"""Folders of pictures with boxes in COCO's JSON (https://cocodataset.org/#format-data).

Two layouts:

* `root/annotations/instances_SPLIT.json`, else the one file there whose name contains the split
  (`instances_train2017.json` for `train`; of several, the one that begins with `instances_`). The pictures
  lie in `root/SPLIT`, `root/images/SPLIT`, the same with the name of the file (`root/train2017`),
  `root/images` or `root`.
* `root/SPLIT/_annotations.coco.json` beside the pictures, as Roboflow exports them.

`bbox` is x, y, width and height in pixels. Categories become the classes 0, 1, ... by ascending id, whatever
gaps there are. `iscrowd` and `area` are taken, segmentations are not.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from chanattn.data.sources.folder_boxes import (
    BoxesFolder,
    Object,
    check_names,
    check_pixels,
    text_of,
)
from chanattn.errors import UsageError, some

ANNOTATIONS, BESIDE = "annotations", "_annotations.coco.json"
_INSTANCES = "instances_"
_LARGEST = 2**31


def open_split(dataset: ConfigDict, root: Path, split: str) -> BoxesFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: The file is damaged or says what cannot be, or pictures are absent: more than
            `dataset.max_corrupt`.
    """
    if (file := root / split / BESIDE).is_file():
        places = [root / split]
    elif found := _file(root / ANNOTATIONS, split):
        file = found
        parts = dict.fromkeys([split, file.stem.removeprefix(_INSTANCES)])
        places = [part / name for name in parts for part in (root, root / "images")]
        places += [root / "images", root]
    else:
        return None
    content = _content(file)
    names, sizes, numbers = _pictures(file, content["images"])
    classes, labels = _classes(file, content["categories"])
    objects = list(_objects(file, content["annotations"], numbers, labels))
    check_pixels(objects, file)
    place, absent, links = _place(places, names)
    if len(absent) > dataset.max_corrupt:
        raise UsageError(
            f"{place} lacks {len(absent):,} of the {len(names):,} pictures of {file} ({some(absent)}): put "
            "them there, take them out of the file, or raise config.dataset.max_corrupt to skip them"
        )
    return BoxesFolder(place, names, links, classes, objects, most=dataset.most_boxes, sizes=sizes)


def _file(folder: Path, split: str) -> Path | None:
    """The annotations of a split.

    Raises:
        UsageError: Several files may be it.
    """
    for name in (f"{_INSTANCES}{split}.json", f"{split}.json"):
        if (folder / name).is_file():
            return folder / name
    if not folder.is_dir():
        return None
    found = sorted(path for path in folder.glob("*.json") if split in path.stem)
    instances = [path for path in found if path.name.startswith(_INSTANCES)]
    found = instances or found
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(
            f"{folder} holds several files of the split {split!r} ({names}): name one of them whole, such as "
            f"config.dataset.split={found[0].stem.removeprefix(_INSTANCES)}"
        )
    return found[0] if found else None


def _content(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} is damaged: {error}; write it again") from error
    for name in ("images", "annotations", "categories"):
        entries = content.get(name) if isinstance(content, dict) else None
        if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
            raise UsageError(
                f"{file} has no list of objects {name!r}, which COCO's annotations have"
            )
    found: dict[str, list[dict[str, Any]]] = content
    return found


def _pictures(
    file: Path, images: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[tuple[int, int]], dict[Any, int]]:
    """Paths, sizes, (0, 0) where they are not told, and the numbers of the pictures by their ids."""
    if not images:
        raise UsageError(f"{file} lists no pictures")
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    for number, image in enumerate(images):
        name, identity = image.get("file_name"), image.get("id")
        if not (isinstance(name, str) and name and isinstance(identity, int | str)):
            raise UsageError(f"{file}: image {number} of the list lacks its id or its file_name")
        names.append(os.path.normpath(name))
        height, width = image.get("height", 0), image.get("width", 0)
        sizes.append((height, width) if _is_side(height) and _is_side(width) else (0, 0))
    _check_once(file, "image id", (image["id"] for image in images))
    _check_once(file, "file_name", names)
    return names, sizes, {image["id"]: number for number, image in enumerate(images)}


def _classes(
    file: Path, categories: Sequence[Mapping[str, Any]]
) -> tuple[list[str], dict[Any, int]]:
    """Names of the classes, and their numbers by the ids of the categories."""
    for number, category in enumerate(categories):
        name, identity = category.get("name"), category.get("id")
        if not (isinstance(name, str) and name.strip()) or type(identity) is not int:
            raise UsageError(
                f"{file}: category {number} of the list needs a name and a whole number as id"
            )
    _check_once(file, "category id", (category["id"] for category in categories))
    ordered = sorted(categories, key=lambda category: int(category["id"]))
    names = [category["name"] for category in ordered]
    check_names(names, file)
    return names, {category["id"]: label for label, category in enumerate(ordered)}


def _objects(
    file: Path,
    annotations: Sequence[Mapping[str, Any]],
    numbers: Mapping[Any, int],
    labels: Mapping[Any, int],
) -> Iterable[Object]:
    _check_once(file, "annotation id", (a["id"] for a in annotations if "id" in a))
    for place, annotation in enumerate(annotations):
        which = f"{file}: annotation {annotation.get('id', f'number {place} of the list')}"
        bbox = annotation.get("bbox")
        if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(_is_number, bbox))):
            raise UsageError(f"{which} has no bbox of four numbers, x, y, width and height")
        for name, known, what in (
            ("image_id", numbers, "picture"),
            ("category_id", labels, "category"),
        ):
            value = annotation.get(name)
            if not isinstance(value, int | float | str) or value not in known:
                raise UsageError(
                    f"{which} is of the {what} {value!r}, which the file does not list: add the {what}, or "
                    "take the annotation out"
                )
        x, y, width, height = bbox
        area = annotation.get("area", 0)
        yield Object(
            numbers[annotation["image_id"]],
            (x, y, x + width, y + height),
            labels[annotation["category_id"]],
            bool(annotation.get("iscrowd")),
            float(area) if _is_number(area) else 0.0,
        )


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value < _LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # which NaN is not either


def _check_once(file: Path, what: str, values: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for value in values:
        if isinstance(value, list | dict):
            raise UsageError(f"{file}: the {what} {value!r} is neither a number nor a text")
        if value in seen:
            raise UsageError(
                f"{file} has the {what} {value!r} twice, as files may that were put together: mend it"
            )
        seen.add(value)


def _place(places: Sequence[Path], names: Sequence[str]) -> tuple[Path, list[str], set[str]]:
    """The first of several folders that holds a picture; those that are absent there, and that are links."""
    existing = [place for place in places if place.is_dir()]
    for place in existing:
        if any(os.path.isfile(place / name) for name in names[:8]):  # False of an impossible name
            break
    else:
        place = existing[0]
    listed: dict[str, dict[str, bool]] = {}
    absent, links = [], set()
    for name in names:
        parent, own = os.path.split(name)
        if parent not in listed:
            listed[parent] = _files(place / parent)
        if own not in listed[parent]:
            absent.append(name)
        elif listed[parent][own]:
            links.add(name)
    return place, absent, links


def _files(folder: Path) -> dict[str, bool]:
    """Names of the files of a folder, and whether they are links; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return {e.name: e.is_symlink() for e in entries if e.is_symlink() or e.is_file()}
    except (OSError, ValueError):
        return {}
