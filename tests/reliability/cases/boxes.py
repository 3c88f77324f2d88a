"""Folders of pictures with boxes that are not what they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.reliability.case import Case
from tests.reliability.cases.data_sets import FOLDER, JPEG, label_maps, pictures
from tests.reliability.making import tiny

BOXES = f"{FOLDER} --config.task.name=detection --config.model.name=resnet10t"
COUNTS = {"train": 8, "test": 2}
Make = Callable[[Path], None]


def _put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def coco(*, of: str = "annotations", number: int = 0, **changes: Any) -> Make:
    """D with 8 and 2 pictures in COCO's format; one entry of a list of the training split is changed."""

    def make(folder: Path) -> None:
        for split, count in COUNTS.items():
            content: dict[str, list[dict[str, Any]]] = {
                "images": [
                    {"id": i, "file_name": f"{i}.jpg", "height": 16, "width": 16}
                    for i in range(count)
                ],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [2, 3, 9, 8]}
                    for i in range(count)
                ],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            }
            if split == "train":
                content[of][number].update(changes)
            _put(folder / "D" / "annotations" / f"instances_{split}.json", json.dumps(content))
            for i in range(count):
                _put(folder / "D" / split / f"{i}.jpg", JPEG)
        tiny(folder)

    return make


def voc(xml: str) -> Make:
    """D with 8 and 2 pictures in VOC's format; the first annotation of the training split is `xml`."""
    right = _object(3, 4, 11, 11)

    def make(folder: Path) -> None:
        for split, count in COUNTS.items():
            for i in range(count):
                content = xml if split == "train" and not i else f"<annotation>{right}</annotation>"
                _put(folder / "D" / split / f"{i}.xml", content)
                _put(folder / "D" / split / f"{i}.jpg", JPEG)
        tiny(folder)

    return make


def _object(x0: float, y0: float, x1: float, y1: float, name: str = "cat") -> str:
    corners = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def yolo(
    text: str = "", every: str = "0 0.5 0.5 0.25 0.5", names: str = "names: [cat, dog]"
) -> Make:
    """D with 8 and 2 pictures in YOLO's format; the first file of the training split has a further `text`."""

    def make(folder: Path) -> None:
        for split, count in COUNTS.items():
            for i in range(count):
                first = split == "train" and not i
                lines = [
                    every if split == "train" else "0 0.5 0.5 0.25 0.5",
                    *([text] if first else []),
                ]
                _put(folder / "D" / "labels" / split / f"{i}.txt", "\n".join(lines))
                _put(folder / "D" / "images" / split / f"{i}.jpg", JPEG)
        if names:
            _put(folder / "D" / "data.yaml", names)
        tiny(folder)

    return make


def _with(make: Make, name: str, content: str | bytes | None) -> Make:
    """With one more file in D, or without it."""

    def changed(folder: Path) -> None:
        make(folder)
        if content is None:
            (folder / "D" / name).unlink()
        else:
            _put(folder / "D" / name, content)

    return changed


def _all_fractions(folder: Path) -> None:
    coco()(folder)
    path = folder / "D" / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [0.1, 0.2, 0.5, 0.4]
    path.write_text(json.dumps(content))


def _several(folder: Path) -> None:
    coco()(folder)
    place = folder / "D" / "annotations"
    (place / "instances_train.json").rename(place / "instances_train2014.json")
    _put(place / "instances_train2017.json", "{}")


CASES = (
    Case("detection in folders of classes", BOXES, pictures),
    Case("detection in a folder with label maps", BOXES, label_maps),
    Case("split without annotations", f"{BOXES} --config.dataset.split=all", coco()),
    Case("damaged JSON", BOXES, _with(coco(), "annotations/instances_train.json", '{"images": [')),
    Case("JSON of something else", BOXES, _with(coco(), "annotations/instances_train.json", "[]")),
    Case("several files of a split", BOXES, _several),
    Case("picture of a COCO file that is absent", BOXES, _with(coco(), "train/3.jpg", None)),
    Case("annotation of an unknown picture", BOXES, coco(image_id=99)),
    Case("annotation of an unknown category", BOXES, coco(category_id=3)),
    Case("annotation without a box", BOXES, coco(bbox=[1, 2, 3])),
    Case("annotation whose box is no number", BOXES, coco(bbox=[1, 2, float("nan"), 3])),
    Case("two annotations of an id", BOXES, coco(id=1)),
    Case("two pictures of an id", BOXES, coco(of="images", id=1)),
    Case("a picture listed twice", BOXES, coco(of="images", file_name="1.jpg")),
    Case("two categories of an id", BOXES, coco(of="categories", id=2)),
    Case("two categories of a name", BOXES, coco(of="categories", name="dog")),
    Case("fractions where pixels are due", BOXES, _all_fractions),
    Case("annotation of a picture of another size", BOXES, coco(of="images", height=32, width=32)),
    Case("damaged XML", BOXES, voc("<annotation>\n<object>")),
    Case(
        "XML that grows", BOXES, voc('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    ),
    Case("XML of another kind", BOXES, voc("<pictures><picture/></pictures>")),
    Case(
        "object without corners",
        BOXES,
        voc("<annotation><object><name>cat</name></object></annotation>"),
    ),
    Case(
        "XML without a picture", BOXES, _with(voc("<annotation/>"), "train/9.xml", "<annotation/>")
    ),
    Case(
        "class that classes.txt lacks",
        BOXES,
        _with(voc("<annotation/>"), "classes.txt", "dog\n"),
    ),
    Case("line that is no box", BOXES, yolo("0 0.5 0.5")),
    Case("polygon where a box is due", BOXES, yolo("0 0.1 0.1 0.5 0.1 0.5 0.5")),
    Case("pixels where fractions are due", BOXES, yolo("0 120 64 30 20")),
    Case("number of a class that is none", BOXES, yolo("2 0.5 0.5 0.1 0.1")),
    Case("text without a picture", BOXES, _with(yolo(), "labels/train/9.txt", "")),
    Case("labels that are no text", BOXES, _with(yolo(), "labels/train/0.txt", b"\xff\xfe")),
    Case("classes of boxes that nobody names", BOXES, yolo(names="")),
    Case("damaged YAML", BOXES, yolo(names="names: [cat"), varies=r"(?<=damaged \().*(?=\))"),
    Case("class that YAML has twice", BOXES, yolo(names="names: {0: cat, 1: dog, 1: cow}")),
    Case("training split without objects", BOXES, yolo(every="")),
    Case(
        "more objects than there is room for",
        f"{BOXES} --config.dataset.most_boxes=1",
        yolo("1 0.5 0.5 0.1 0.1"),
    ),
    Case("room for boxes without boxes", f"{FOLDER} --config.dataset.most_boxes=9", pictures),
)
