"""The data set `folder`: which of the layouts a folder of one's own has."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from chanattn.data.source import Whole
from chanattn.data.sources import folder_coco, folder_label_maps, folder_voc, folder_yolo
from chanattn.errors import UsageError
from chanattn.paths import to_path

#: Of boxes, in the order in which they are looked for.
FORMATS = (folder_coco, folder_voc, folder_yolo)


def open_split(dataset: ConfigDict, split: str, fields: Sequence[str]) -> Whole:
    """The split of the folder `dataset.data_dir`: with boxes if they are needed, else labels or label maps.

    Raises:
        UsageError: The folder is absent, has none of the layouts, or what is in it is not in order.
    """
    if "boxes" not in fields:
        return folder_label_maps.open_split(dataset, split)
    if not dataset.data_dir:
        raise UsageError(
            "data set 'folder' needs its root: set config.dataset.data_dir to one with pictures and boxes"
        )
    root = to_path(dataset.data_dir)
    if not root.is_dir():
        raise UsageError(
            f"no folder {root}: set config.dataset.data_dir to one with pictures and boxes"
        )
    for layout in FORMATS:
        found = layout.open_split(dataset, root, split)
        if found is not None:
            return found
    raise UsageError(
        f"{root} holds no boxes of the split {split!r}: expected COCO's annotations/*{split}*.json or "
        f"{split}/{folder_coco.BESIDE}, Pascal VOC's ImageSets/Main/{split}.txt or {split}/NAME.xml beside "
        f"NAME.jpg, or YOLO's labels/{split} beside images/{split} or {split}/labels beside {split}/images; "
        "see docs/detection.md"
    )
