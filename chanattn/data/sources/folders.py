"""The data set `folder`: which of the layouts a folder of one's own has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from chanattn.data.captions import FIELD
from chanattn.data.source import Whole
from chanattn.data.sources import (
    folder_captions_coco,
    folder_coco,
    folder_karpathy,
    folder_label_maps,
    folder_voc,
    folder_yolo,
)
from chanattn.errors import UsageError
from chanattn.paths import to_path


class Layouts(NamedTuple):
    """How folders with a field are laid out.

    Attributes:
        openers: Each gives the split of a root if that is its layout; in the order in which they are asked.
        expected: The layouts in words, with `{split}`, and the page that tells more.
    """

    openers: tuple[Callable[[ConfigDict, Path, str], Whole | None], ...]
    expected: str


#: By the name of the field. Karpathy's file has all splits, so that the other does not replace one it lacks.
LAYOUTS = {
    "boxes": Layouts(
        (folder_coco.open_split, folder_voc.open_split, folder_yolo.open_split),
        "COCO's annotations/*{split}*.json or {split}/" + folder_coco.BESIDE + ", Pascal VOC's "
        "ImageSets/Main/{split}.txt or {split}/NAME.xml beside NAME.jpg, or YOLO's labels/{split} beside "
        "images/{split} or {split}/labels beside {split}/images; see docs/detection.md",
    ),
    FIELD: Layouts(
        (folder_karpathy.open_split, folder_captions_coco.open_split),
        "COCO's annotations/captions_{split}*.json, or Karpathy's dataset.json or dataset_*.json; see "
        "docs/captioning.md",
    ),
}


def open_split(dataset: ConfigDict, split: str, fields: Sequence[str]) -> Whole:
    """The split of the folder `dataset.data_dir`: boxes or captions if needed, else labels or label maps.

    Raises:
        UsageError: The folder is absent, has none of the layouts, or what is in it is not in order.
    """
    field = next((name for name in LAYOUTS if name in fields), None)
    if field is None:
        return folder_label_maps.open_split(dataset, split)
    if not dataset.data_dir:
        raise UsageError(
            f"data set 'folder' needs its root: set config.dataset.data_dir to one with pictures and {field}"
        )
    root = to_path(dataset.data_dir)
    if not root.is_dir():
        raise UsageError(
            f"no folder {root}: set config.dataset.data_dir to one with pictures and {field}"
        )
    layouts = LAYOUTS[field]
    for open_layout in layouts.openers:
        found = open_layout(dataset, root, split)
        if found is not None:
            return found
    raise UsageError(
        f"{root} holds no {field} of the split {split!r}: expected {layouts.expected.format(split=split)}"
    )
