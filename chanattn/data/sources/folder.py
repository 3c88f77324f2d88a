"""Folders of pictures: `root/split/class/picture.jpg`, one folder a class."""

import os
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from chanattn.data.source import ImageShape, Record, Source
from chanattn.errors import UsageError
from chanattn.paths import to_path

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def open_split(dataset: ConfigDict, split: str) -> Source:
    """The pictures below `dataset.data_dir/split`, ordered by class name and path.

    Classes are numbered in the alphabetical order of their folders. Folders within a class are searched
    too; hidden files and files that are no pictures are passed over.

    Raises:
        UsageError: A folder is absent, or holds no pictures.
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


class Folder:
    """One split of an image folder. Pictures may differ in size and are read as colour."""

    def __init__(self, folder: Path):
        classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        self.folder = folder
        self.class_names = tuple(path.name for path in classes)
        self.image_shape: ImageShape = (None, None, 3)
        self._files: list[str] = []
        self._labels: list[int] = []
        for label, path in enumerate(classes):
            try:
                os.listdir(path)  # the search below passes over what may not be read
            except OSError as error:
                raise UsageError(
                    f"class folder {path} cannot be read: {error.strerror}; change its permissions"
                ) from error
            files = sorted(str(f.relative_to(folder)) for f in path.rglob("*") if _is_picture(f))
            if not files:
                raise UsageError(f"class folder {path} holds no pictures: {', '.join(SUFFIXES)}")
            self._files += files
            self._labels += [label] * len(files)
        if not classes:
            raise UsageError(f"{folder} holds no class folders: expected <class>/<picture>")

    def __len__(self) -> int:
        return len(self._files)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Source.read`."""
        return [self._record(i) for i in indices]

    def _record(self, index: int) -> Record | OSError:
        try:
            return Record((self.folder / self._files[index]).read_bytes(), self._labels[index])
        except OSError as error:
            return error

    def describe(self, index: int) -> str:
        """See `Source.describe`."""
        return str(self.folder / self._files[index])


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    # A link that leads nowhere is told as a corrupt picture; reading a pipe would wait for ever.
    return path.is_file() or (path.is_symlink() and not path.exists())
