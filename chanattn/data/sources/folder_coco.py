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

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from chanattn.data.sources import json_lists
from chanattn.data.sources.folder_boxes import BoxesFolder, Object, check_names, check_pixels
from chanattn.data.sources.json_lists import INSTANCES, Entry
from chanattn.errors import UsageError

BESIDE = "_annotations.coco.json"


def open_split(dataset: ConfigDict, root: Path, split: str) -> BoxesFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: The file is damaged or says what cannot be, or pictures are absent: more than
            `dataset.max_corrupt`.
    """
    if (file := root / split / BESIDE).is_file():
        places = [root / split]
    elif found := json_lists.of_split(root / json_lists.ANNOTATIONS, INSTANCES, split):
        file = found
        places = json_lists.places_of(root, split, file, INSTANCES)
    else:
        return None
    images, annotations, categories = json_lists.entries(
        file,
        json_lists.content(file),
        ("images", "annotations", "categories"),
        "COCO's annotations",
    )
    names, sizes, numbers = json_lists.pictures(file, images)
    classes, labels = _classes(file, categories)
    objects = list(_objects(file, annotations, numbers, labels))
    check_pixels(objects, file)
    place, links = json_lists.located(file, places, names, dataset.max_corrupt)
    return BoxesFolder(place, names, links, classes, objects, most=dataset.most_boxes, sizes=sizes)


def _classes(file: Path, categories: Sequence[Entry]) -> tuple[list[str], dict[Any, int]]:
    """Names of the classes, and their numbers by the ids of the categories."""
    for number, category in enumerate(categories):
        name, identity = category.get("name"), category.get("id")
        if not (isinstance(name, str) and name.strip()) or type(identity) is not int:
            raise UsageError(
                f"{file}: category {number} of the list needs a name and a whole number as id"
            )
    json_lists.check_once(file, "category id", (category["id"] for category in categories))
    ordered = sorted(categories, key=lambda category: int(category["id"]))
    names = [category["name"] for category in ordered]
    check_names(names, file)
    return names, {category["id"]: label for label, category in enumerate(ordered)}


def _objects(
    file: Path,
    annotations: Sequence[Entry],
    numbers: Mapping[Any, int],
    labels: Mapping[Any, int],
) -> Iterable[Object]:
    for which, annotation in json_lists.annotations(file, annotations):
        bbox = annotation.get("bbox")
        if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(json_lists.is_number, bbox))):
            raise UsageError(f"{which} has no bbox of four numbers, x, y, width and height")
        picture = json_lists.referred(which, annotation, "image_id", numbers, "picture")
        label = json_lists.referred(which, annotation, "category_id", labels, "category")
        x, y, width, height = bbox
        area = annotation.get("area", 0)
        yield Object(
            picture,
            (x, y, x + width, y + height),
            label,
            bool(annotation.get("iscrowd")),
            float(area) if json_lists.is_number(area) else 0.0,
        )
