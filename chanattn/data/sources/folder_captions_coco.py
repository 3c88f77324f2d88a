"""Folders of pictures with captions in COCO's JSON (https://cocodataset.org/#format-data).

`root/annotations/captions_SPLIT.json`, else the one file there of captions whose name contains the split
(`captions_train2017.json` for `train`). The pictures lie where those with boxes do, see `folder_coco`.
"""

from pathlib import Path

from ml_collections import ConfigDict

from chanattn.data.sources import json_lists
from chanattn.data.sources.folder_captions import CaptionsFolder, caption
from chanattn.data.sources.json_lists import CAPTIONS


def open_split(dataset: ConfigDict, root: Path, split: str) -> CaptionsFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: The file is damaged or says what cannot be, or pictures are absent: more than
            `dataset.max_corrupt`.
    """
    file = json_lists.of_split(root / json_lists.ANNOTATIONS, CAPTIONS, split)
    if file is None:
        return None
    images, annotations = json_lists.entries(
        file, json_lists.content(file), ("images", "annotations"), "COCO's captions"
    )
    names, _, numbers = json_lists.pictures(file, images)
    captions: list[list[str]] = [[] for _ in names]
    for which, annotation in json_lists.annotations(file, annotations):
        number = json_lists.referred(which, annotation, "image_id", numbers, "picture")
        captions[number].append(caption(which, annotation.get("caption")))
    places = json_lists.places_of(root, split, file, CAPTIONS)
    place, links = json_lists.located(file, places, names, dataset.max_corrupt)
    return CaptionsFolder(place, names, links, captions)
