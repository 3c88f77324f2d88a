"""Folders of pictures with label maps: `root/split/images/NAME.jpg` and `root/split/labels/NAME.png`.

A label map is a PNG of 8 or 16 bits and one channel, whose numbers are the classes, or one with a palette,
whose indices are. What they mean stands in `root/classes.json`, the same for all splits:

    {"classes": ["sky", "road", "car"], "void": 255}

The classes are those of the values 0, 1, 2; `void` is the value of pixels without a class, and is left out if
there are none. Which files are pictures, and what is passed over, is as in `chanattn.data.sources.folder`;
a picture and its label map have the same path, but for the suffix.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from chanattn.data.fields import Field, Mask
from chanattn.data.source import Whole
from chanattn.data.sources import folder
from chanattn.errors import UsageError, some
from chanattn.paths import to_path

CLASSES, IMAGES, LABELS = "classes.json", "images", "labels"
#: What a folder gets its fields by, for messages.
LAYOUTS = (
    f"<split>/<class>/<picture> gives labels, <split>/{IMAGES} and <split>/{LABELS} beside {CLASSES} give "
    "label maps"
)
_FORM = '{"classes": ["sky", "road"], "void": 255}'
_LARGEST = 65_535  # of 16 bits


def open_split(dataset: ConfigDict, split: str) -> Whole:
    """The pictures below `dataset.data_dir/split`, with label maps or labels as the folder is laid out.

    There are label maps if the split has folders `images` and `labels`, or one of them and the root
    `classes.json`.

    Raises:
        UsageError: As `folder.open_split`; or `classes.json` is absent or damaged, pictures and label maps
            are no pairs, or label maps are not PNG.
    """
    if dataset.data_dir:
        root = to_path(dataset.data_dir)
        there = [(root / split / name).is_dir() for name in (IMAGES, LABELS)]
        if all(there) or (any(there) and (root / CLASSES).is_file()):
            return LabelMaps(root / split, *read_classes(root / CLASSES))
    return folder.open_split(dataset, split)


class LabelMaps(folder.Files):
    """One split of such a folder."""

    def __init__(self, split: Path, class_names: Sequence[str], void: int | None):
        for name in (IMAGES, LABELS):
            if not (split / name).is_dir():
                raise UsageError(
                    f"no folder {split / name}: label maps need {split.name}/{IMAGES} and "
                    f"{split.name}/{LABELS}"
                )
        pictures, links, note = folder.files_below(split / IMAGES)
        maps, _, passed_over = folder.files_below(split / LABELS)
        _check_pairs(split, pictures, maps)
        super().__init__(split / IMAGES, pictures, links)
        self.class_names = tuple(class_names)
        self.fields: Mapping[str, Field] = {"label_map": Mask(len(class_names), void)}
        self.labels = np.zeros(len(pictures), np.int32)  # so that a part is a random one
        notes = {IMAGES: note, LABELS: passed_over}
        self.note = "; ".join(f"{name}: {text}" for name, text in notes.items() if text)
        of_stem = {_stem(name): os.path.join(split, LABELS, name) for name in maps}
        self._maps = [of_stem[_stem(name)] for name in pictures]

    def fields_of(self, index: int) -> dict[str, Any]:
        """See `Files.fields_of`."""
        try:
            return {"label_map": Path(self._maps[index]).read_bytes()}
        except OSError as error:
            raise OSError(f"label map {self._maps[index]}: {error.strerror}") from error


def read_classes(path: Path) -> tuple[tuple[str, ...], int | None]:
    """Names of the classes, and the value of pixels without one, of a `classes.json`.

    Raises:
        UsageError: It is absent, damaged, or says what cannot be.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"no {path}, which says what the numbers of label maps mean: write {_FORM}"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is damaged ({reason}): write {_FORM}") from error
    if mistake := _mistake(stored):
        raise UsageError(f"{path} {mistake}: write {_FORM}")
    return tuple(stored["classes"]), stored.get("void")


def _mistake(stored: object) -> str:
    """What is wrong with the content of a `classes.json`; empty if nothing is."""
    if not isinstance(stored, dict) or "classes" not in stored:
        return 'has no "classes"'
    if others := sorted(stored.keys() - {"classes", "void"}):
        return f"has entries that mean nothing ({some(map(ascii, others))})"
    names, void = stored["classes"], stored.get("void")
    if not (isinstance(names, list) and names and all(isinstance(n, str) and n for n in names)):
        return 'must have a list of names in "classes"'
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        return f"has the class {name!r} twice"
    if void is None:
        return ""
    if isinstance(void, bool) or not isinstance(void, int) or not 0 <= void <= _LARGEST:
        return f"must have a number from 0 to {_LARGEST} as void, not {void!r}"
    if void < len(names):
        return f"has void {void}, which is the class {names[void]!r}: void is no class, and another value"
    return ""


def _check_pairs(split: Path, pictures: Sequence[str], maps: Sequence[str]) -> None:
    """Every picture has one label map, a PNG, and every label map a picture."""
    for name, files, what in ((IMAGES, pictures, "pictures"), (LABELS, maps, "label maps")):
        if not files:
            raise UsageError(
                f"{split / name} holds no {what}: put them there, each of the same name as its counterpart"
            )
        stem, count = Counter(map(_stem, files)).most_common(1)[0]
        if count > 1:
            same = [file for file in files if _stem(file) == stem]
            raise UsageError(f"{split / name} holds {' and '.join(same)}: keep one of that name")
    if others := [name for name in maps if not name.lower().endswith(".png")]:
        raise UsageError(
            f"{_count(others, 'label map')} in {split / LABELS} of another format than PNG ({some(others)}): "
            "save as PNG, because others may change the numbers"
        )
    stems, labelled = set(map(_stem, pictures)), set(map(_stem, maps))
    alone = [name for name in pictures if _stem(name) not in labelled]
    if alone:
        raise UsageError(
            f"{_count(alone, 'picture')} in {split / IMAGES} without a label map of the same name in "
            f"{split / LABELS} ({some(alone)}): add the label maps, or take the pictures away"
        )
    alone = [name for name in maps if _stem(name) not in stems]
    if alone:
        raise UsageError(
            f"{_count(alone, 'label map')} in {split / LABELS} without a picture of the same name in "
            f"{split / IMAGES} ({some(alone)}): add the pictures, or take the label maps away"
        )


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names):,} {what}{'' if len(names) == 1 else 's'}"


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
