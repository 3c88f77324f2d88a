"""What layouts share whose JSON files list the pictures: reading such files, and finding the pictures."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chanattn.data.sources.folder_boxes import text_of
from chanattn.errors import UsageError, some

#: Where COCO's annotations lie, and how the names of their files begin.
ANNOTATIONS = "annotations"
INSTANCES, CAPTIONS = "instances_", "captions_"
_KINDS = (INSTANCES, CAPTIONS, "person_keypoints_", "image_info_")
_LARGEST = 2**31
#: An object of JSON.
Entry = Mapping[str, Any]


class Listed(NamedTuple):
    """The pictures that a file of COCO's lists.

    Attributes:
        names: Their paths.
        sizes: (height, width) of each, (0, 0) where it is not told.
        numbers: Of the pictures by their ids.
    """

    names: list[str]
    sizes: list[tuple[int, int]]
    numbers: dict[Any, int]


class Located(NamedTuple):
    """Where pictures lie.

    Attributes:
        place: The folder.
        links: The names of those that are links.
    """

    place: Path
    links: set[str]


def of_split(folder: Path, kind: str, split: str) -> Path | None:
    """COCO's annotations of a split in a folder; None if there are none.

    Args:
        folder: Where they would be.
        kind: How the names of such files begin, `INSTANCES` or `CAPTIONS`.
        split: The file is called `KIND_SPLIT.json`, `SPLIT.json`, or is the one whose name contains the
            split; of several, the one of that kind.

    Raises:
        UsageError: Several files may be it.
    """
    for name in (f"{kind}{split}.json", f"{split}.json"):
        if (folder / name).is_file():
            return folder / name
    if not folder.is_dir():
        return None
    found = sorted(path for path in folder.glob("*.json") if split in path.stem)
    own = [path for path in found if path.name.startswith(kind)]
    found = own or [path for path in found if not path.name.startswith(_KINDS)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(
            f"{folder} holds several files of the split {split!r} ({names}): name one of them whole, such as "
            f"config.dataset.split={found[0].stem.removeprefix(kind)}"
        )
    return found[0] if found else None


def places_of(root: Path, split: str, file: Path, kind: str) -> list[Path]:
    """Where the pictures of such a file may lie, in the order in which they are looked for."""
    parts = dict.fromkeys([split, file.stem.removeprefix(kind)])
    places = [part / name for name in parts for part in (root, root / "images")]
    return [*places, root / "images", root]


def content(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UsageError: It cannot be read, or is damaged.
    """
    try:
        return json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} is damaged: {error}; write it again") from error


def entries(file: Path, stored: Any, names: Sequence[str], what: str) -> list[list[dict[str, Any]]]:
    """The lists of these names in what a file holds, which must be lists of objects.

    Raises:
        UsageError: One is not, which `what` should have.
    """
    found = []
    for name in names:
        listed = stored.get(name) if isinstance(stored, dict) else None
        if not (isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed)):
            raise UsageError(f"{file} has no list of objects {name!r}, which {what} have")
        found.append(listed)
    return found


def pictures(file: Path, images: Sequence[Entry]) -> Listed:
    """COCO's list of pictures.

    Raises:
        UsageError: It is empty, or a picture has no id or no name, or that of another.
    """
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
    check_once(file, "image id", (image["id"] for image in images))
    check_once(file, "file_name", names)
    return Listed(names, sizes, {image["id"]: number for number, image in enumerate(images)})


def annotations(file: Path, listed: Sequence[Entry]) -> Iterable[tuple[str, Entry]]:
    """COCO's annotations, with a name of each for messages.

    Raises:
        UsageError: Two have the same id.
    """
    check_once(file, "annotation id", (each["id"] for each in listed if "id" in each))
    for place, each in enumerate(listed):
        yield f"{file}: annotation {each.get('id', f'number {place} of the list')}", each


def referred(which: str, entry: Entry, name: str, numbers: Mapping[Any, int], what: str) -> int:
    """The number of what an annotation is of, by its id.

    Args:
        which: The annotation, for the message.
        entry: It.
        name: Of the entry with the id.
        numbers: By the ids.
        what: That is, for the message.

    Raises:
        UsageError: There is no such id.
    """
    value = entry.get(name)
    if not isinstance(value, int | float | str) or value not in numbers:
        raise UsageError(
            f"{which} is of the {what} {value!r}, which the file does not list: add the {what}, or "
            "take the annotation out"
        )
    return numbers[value]


def check_once(file: Path, what: str, values: Iterable[Any]) -> None:
    """Raises UsageError if one of the values is there twice, or can be no id."""
    seen: set[Any] = set()
    for value in values:
        if isinstance(value, list | dict):
            raise UsageError(f"{file}: the {what} {value!r} is neither a number nor a text")
        if value in seen:
            raise UsageError(
                f"{file} has the {what} {value!r} twice, as files may that were put together: mend it"
            )
        seen.add(value)


def located(file: Path, places: Sequence[Path], names: Sequence[str], max_corrupt: int) -> Located:
    """The one of several folders, of which one must exist, that holds most pictures of a file.

    Of several that hold as many it is the first.

    Args:
        file: It, for the message.
        places: The folders.
        names: Paths of the pictures.
        max_corrupt: How many may be absent.

    Raises:
        UsageError: More are.
    """
    existing = [place for place in places if place.is_dir()]
    found = [(place, *_held(place, names)) for place in existing]
    place, absent, links = min(found, key=lambda each: len(each[1]))
    if len(absent) > max_corrupt:
        raise UsageError(
            f"{place} lacks {len(absent):,} of the {len(names):,} pictures of {file} ({some(absent)}): put "
            "them there, take them out of the file, or raise config.dataset.max_corrupt to skip them"
        )
    return Located(place, links)


def _held(place: Path, names: Sequence[str]) -> tuple[list[str], set[str]]:
    """Which pictures are absent from a folder, and which are links in it."""
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
    return absent, links


def is_number(value: Any) -> bool:
    """Whether it is a number that a picture can have: finite, and not too large."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # which NaN is not either


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value < _LARGEST


def _files(folder: Path) -> dict[str, bool]:
    """Names of the files of a folder, and whether they are links; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return {e.name: e.is_symlink() for e in found if e.is_symlink() or e.is_file()}
    except (OSError, ValueError):
        return {}
