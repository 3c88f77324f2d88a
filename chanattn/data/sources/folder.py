"""Folders of pictures: `root/split/class/picture.jpg`, one folder a class.

Those with label maps, `root/split/images` and `root/split/labels`, are in `folder_label_maps`, those with
boxes in `folder_coco`, `folder_voc` and `folder_yolo`.

What is taken, everywhere below a class folder:

* A file is a picture if its name ends like one (`SUFFIXES`, upper case or lower), or if it begins like one.
* Links are followed, those to folders too, but for links that lead back to a folder above them.
* Hidden files and folders (`.DS_Store`, `._1.jpg`, `.ipynb_checkpoints`), and the folders in which other
  tools keep their copies (`__MACOSX`, `@eaDir`, ...), are passed over.

The rest is passed over too, and `Folder.note` counts it.
"""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from chanattn.data.decode import begins_like_a_picture
from chanattn.data.fields import Field, Label
from chanattn.data.source import ImageShape, Record
from chanattn.errors import UsageError
from chanattn.paths import to_path

SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
#: Folders of macOS, Synology, QNAP, Windows and Linux, beside those that are hidden.
TOOL_FOLDERS = frozenset(
    {
        *("__MACOSX", "@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    }
)
_HIDDEN, _OUTSIDE, _BACK = "hidden", "outside of the class folders", "link that leads back"
_MOST_KINDS = 6  # that a note lists


def open_split(dataset: ConfigDict, split: str) -> "Folder":
    """The pictures below `dataset.data_dir/split`, ordered by class name and path.

    Classes are numbered in the alphabetical order of their folders.

    Raises:
        UsageError: A folder is absent or cannot be read, a class holds no pictures, or there are fewer than
            two classes.
    """
    if not dataset.data_dir:
        raise UsageError(
            "data set 'folder' needs its root: set config.dataset.data_dir to a folder that holds "
            "<split>/<class>/<picture>"
        )
    folder = to_path(dataset.data_dir) / split
    if not folder.is_dir():
        raise UsageError(
            f"no folder {folder}: config.dataset.data_dir must hold {split}/<class>/<picture>, or "
            "choose another config.dataset.split and config.dataset.eval_split"
        )
    return Folder(folder)


class Files:
    """The pictures of one split, by their paths below a folder. They may differ in size; read as colour.

    What a layout has beside them, its `fields_of` gives.

    Attributes:
        folder: Where they are.
        names: Their paths in it.
        objects: See `Whole`.
    """

    objects: np.ndarray | None = None

    def __init__(self, folder: Path, names: Sequence[str], links: Container[str]):
        """`links` are those of the names that are links."""
        self.folder = folder
        self.image_shape: ImageShape = (None, None, 3)
        self.names = names
        self._links = links
        self._real: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def fields_of(self, index: int) -> dict[str, Any]:
        """The stored values of the fields of one example.

        Raises:
            OSError: They cannot be read.
        """
        del index
        return {}

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [self._record(i) for i in indices]

    def _record(self, index: int) -> Record | OSError:
        try:
            return Record(Path(self.describe(index)).read_bytes(), self.fields_of(index))
        except OSError as error:
            return error

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return os.path.join(self.folder, self.names[index])

    def place(self, index: int) -> Hashable:
        """See `Whole.place`: the file itself, whatever links lead to it."""
        path = self.describe(index)
        if self.names[index] in self._links:
            return os.path.realpath(path)
        parent, name = os.path.split(path)
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        return os.path.join(self._real[parent], name)


class Folder(Files):
    """One split of a folder with a folder for each class."""

    def __init__(self, folder: Path):
        walk = _Walk(folder)
        classes = walk.classes()
        if not classes:
            raise UsageError(
                f"{folder} holds no class folders: expected <class>/<picture>{walk.told()}"
            )
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            found = _sorted(walk.pictures(name))
            if not found:
                raise UsageError(
                    f"class folder {folder / name} holds no pictures: {', '.join(SUFFIXES)}{walk.told()}"
                )
            files += found
            labels += [label] * len(found)
        if len(classes) == 1:
            raise UsageError(_one_class(folder, classes[0]))
        super().__init__(folder, files, walk.links)
        self.class_names = tuple(classes)
        self.fields: Mapping[str, Field] = {"label": Label(len(classes))}
        self.labels = np.array(labels, np.int32)
        self.note = walk.note()

    def fields_of(self, index: int) -> dict[str, Any]:
        """See `Files.fields_of`."""
        return {"label": int(self.labels[index])}


def pictures_below(folder: Path) -> tuple[list[Path], str]:
    """The pictures of a folder, without classes, and what was passed over: ordered by path.

    Raises:
        UsageError: The folder, or one in it, cannot be read.
    """
    walk = _Walk(folder)
    return [folder / name for name in _sorted(walk.pictures(""))], walk.told()


def files_below(folder: Path) -> tuple[list[str], set[str], str]:
    """Paths of the pictures of a folder in it, those of them that are links, and what was passed over.

    Raises:
        UsageError: As `pictures_below`.
    """
    walk = _Walk(folder)
    return _sorted(walk.pictures("")), walk.links, walk.note()


class Below(NamedTuple):
    """What lies below a folder, as paths in it, ordered.

    Attributes:
        pictures: The pictures.
        links: Those of them that are links.
        annotations: The files of the suffix asked for.
        note: What was passed over; empty if nothing was.
    """

    pictures: list[str]
    links: set[str]
    annotations: list[str]
    note: str


def annotated_below(folder: Path, suffix: str) -> Below:
    """The pictures of a folder, and the annotations, which end in `suffix`.

    Raises:
        UsageError: As `pictures_below`.
    """
    walk = _Walk(folder, suffix)
    pictures = _sorted(walk.pictures(""))
    return Below(pictures, walk.links, _sorted(walk.annotations), walk.note())


class _Walk:
    """One walk through a split, which lists every folder once.

    Attributes:
        passed_over: What was not taken: by the suffix of a file, the name of a folder, or why.
        links: Those of the pictures that are links.
        annotations: Paths of the files that end in the `suffix` given.
    """

    def __init__(self, folder: Path, suffix: str = ""):
        self.folder = os.fspath(folder)
        self.suffix = suffix
        self.annotations: list[str] = []
        self.passed_over: Counter[str] = Counter()
        self.links: set[str] = set()

    def classes(self) -> list[str]:
        """Names of the class folders."""
        found = []
        for entry in self._entries(""):
            if self._is_left_out(entry):
                continue
            if _is_folder(entry):
                found.append(entry.name)
            else:
                self.passed_over[_OUTSIDE] += 1
        return _sorted(found)

    def pictures(self, place: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        """Paths of the pictures below a folder of the split.

        Args:
            place: The folder, relative to that of the split.
            above: The real folders of which links have led here.
        """
        for entry in self._entries(place):
            if self._is_left_out(entry):
                continue
            path = os.path.join(place, entry.name)
            if entry.is_file(follow_symlinks=False) and _is_called_so(entry):
                yield path  # nearly all of them
            elif _is_folder(entry):
                inside = above
                if entry.is_symlink():
                    inside = (*above, os.path.realpath(os.path.join(self.folder, place)))
                    if _leads_back(os.path.realpath(entry.path), inside):
                        self.passed_over[_BACK] += 1
                        continue
                yield from self.pictures(path, inside)
            elif self.suffix and entry.name.lower().endswith(self.suffix):
                self.annotations.append(path)
            elif _is_picture(entry):
                if entry.is_symlink():
                    self.links.add(path)
                yield path
            else:
                self.passed_over[_kind(entry)] += 1

    def _entries(self, place: str) -> list[os.DirEntry[str]]:
        path = os.path.join(self.folder, place)
        try:
            with os.scandir(path) as entries:
                return list(entries)
        except OSError as error:
            raise UsageError(
                f"folder {path.rstrip('/')} cannot be read: {error.strerror}; change its permissions"
            ) from error

    def _is_left_out(self, entry: os.DirEntry[str]) -> bool:
        hidden = entry.name[0] == "."
        if not (hidden or entry.name in TOOL_FOLDERS):
            return False
        folder = _is_folder(entry)
        if folder or hidden:
            self.passed_over[f"{entry.name}/" if folder else _HIDDEN] += 1
        return folder or hidden

    def note(self) -> str:
        """What was passed over, in one line; empty if nothing was."""
        if not self.passed_over:
            return ""
        ranked = sorted(self.passed_over.items(), key=lambda item: (-item[1], item[0]))
        kinds = [f"{kind} {count:,}" for kind, count in ranked[:_MOST_KINDS]]
        more = len(ranked) - len(kinds)
        listed = ", ".join(kinds) + (f", and {more} more kinds" if more else "")
        total = self.passed_over.total()
        return f"{total:,} {'entry' if total == 1 else 'entries'} passed over ({listed})"

    def told(self) -> str:
        """The note as the end of a message."""
        return f"; {self.note()}" if self.passed_over else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_picture(entry: os.DirEntry[str]) -> bool:
    """Whether a file is taken: no pipe, and no socket, because reading one would wait for ever.

    A link that leads nowhere is, if it is called like a picture: it will be told as a corrupt one.
    """
    try:
        if not stat.S_ISREG(entry.stat().st_mode):
            return False
        if _is_called_so(entry):
            return True
        with open(entry.path, "rb") as file:
            return begins_like_a_picture(file.read(16))
    except OSError:
        return _is_called_so(entry)


def _is_called_so(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES)


def _kind(entry: os.DirEntry[str]) -> str:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in SUFFIXES:
        return f"{suffix} that is no file"
    return suffix or "without a suffix"


def _leads_back(target: str, folders: tuple[str, ...]) -> bool:
    return any(os.path.commonpath([target, folder]) == target for folder in folders)


def _sorted(names: Iterable[str]) -> list[str]:
    """Alike on every machine: macOS may store an accent as a letter of its own."""
    names = sorted(names)
    if all(map(str.isascii, names)):
        return names
    return sorted(names, key=lambda name: unicodedata.normalize("NFC", name))


def _one_class(folder: Path, name: str) -> str:
    inner = _Walk(folder / name).classes()
    if inner:
        some = ", ".join(inner[:3]) + (", ..." if len(inner) > 3 else "")
        fix = f"if its folders ({some}) are the classes, move them one level up"
    else:
        fix = "each class needs a folder of its own"
    return (
        f"{folder} holds a single class, {name!r}, so that there is nothing to tell apart: {fix}, as in "
        "<split>/<class>/<picture>"
    )
