"""Folders with boxes in the formats of COCO, Pascal VOC and YOLO: what is read, told and refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from chanattn import data
from chanattn.data.fields import Boxes, Placement
from chanattn.data.sources import open_source
from chanattn.errors import UsageError
from configs import base

PICTURE = cv2.imencode(".jpg", np.full((60, 80, 3), 90, np.uint8))[1].tobytes()
#: Of the picture a: class, x0, y0, x1, y1; b shows nothing.
OBJECTS = [("dog", 10, 20, 30, 50), ("cat", 0, 0, 80, 60)]


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pictures(folder: Path, *names: str) -> None:
    for name in names or ("a", "b"):
        write(folder / f"{name}.jpg", PICTURE)


def of_coco(**changes: Any) -> str:
    """COCO's annotations of the above; categories have gaps and no order. Keywords change parts."""
    ids = {"cat": 7, "dog": 18}
    annotations = [
        {
            "id": number,
            "image_id": 5,
            "category_id": ids[name],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": 123,
            "iscrowd": int(name == "cat"),
        }
        for number, (name, x0, y0, x1, y1) in enumerate(OBJECTS)
    ]
    content = {
        "images": [
            {"id": 9, "file_name": "b.jpg", "height": 60, "width": 80},
            {"id": 5, "file_name": "a.jpg", "height": 60, "width": 80},
        ],
        "annotations": annotations,
        "categories": [{"id": 18, "name": "dog"}, {"id": 7, "name": "cat"}],
    }
    for path, value in changes.items():
        part, _, more = path.partition("_0_")
        if more:
            content[part] = json.loads(json.dumps(content[part]))
            content[part][0][more] = value
        else:
            content[part] = value
    return json.dumps({name: value for name, value in content.items() if value is not None})


def of_voc(objects=OBJECTS, size: tuple[int, int] = (60, 80), more: str = "") -> str:
    """VOC's annotation of a picture; the dog is difficult."""
    text = "".join(
        f"<object><name>{name}</name><difficult>{int(name == 'dog')}</difficult>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><bndbox>"
        f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    )
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>wrong.png</filename>{sides}{text}{more}</annotation>"


def of_yolo(objects=OBJECTS) -> str:
    numbers = {"cat": 0, "dog": 1}
    return "".join(
        f"{numbers[name]} {(x0 + x1) / 160} {(y0 + y1) / 120} {(x1 - x0) / 80} {(y1 - y0) / 60}\n"
        for name, x0, y0, x1, y1 in objects
    )


def coco(root: Path, **changes: Any) -> None:
    write(root / "annotations" / "instances_train2017.json", of_coco(**changes))
    write(root / "annotations" / "captions_train2017.json", "no JSON")
    pictures(root / "train2017")


def coco_in_images(root: Path) -> None:
    write(root / "annotations" / "train.json", of_coco())
    pictures(root / "images")


def roboflow(root: Path, **changes: Any) -> None:
    write(root / "train" / "_annotations.coco.json", of_coco(**changes))
    pictures(root / "train")


def devkit(root: Path, a: str | None = None, names: str = "a\nb\n") -> None:
    write(root / "ImageSets/Main/train.txt", names)
    write(root / "Annotations/a.xml", of_voc() if a is None else a)
    write(root / "Annotations/b.xml", of_voc([]))
    pictures(root / "JPEGImages", "a", "b", "unused")


def voc_beside(root: Path, a: str | None = None) -> None:
    write(root / "train/a.xml", of_voc() if a is None else a)
    write(root / "train/.hidden.xml", "no XML")
    pictures(root / "train")


def yolo(root: Path, a: str | None = None, names: str = "names: [cat, dog]\nnc: 2\n") -> None:
    write(root / "data.yaml", names)
    write(root / "labels/train/a.txt", of_yolo() if a is None else a)
    write(root / "labels/train/b.txt", "")
    write(root / "labels/train/classes.txt", "whatever\n")
    pictures(root / "images/train")


def yolo_by_split(root: Path) -> None:
    write(root / "classes.txt", "cat\ndog\n\n")
    write(root / "train/labels/a.txt", of_yolo())
    pictures(root / "train/images")


def opened(root: Path, split: str = "train", **more: Any):
    config = base.get_config()
    config.dataset.update(name="folder", data_dir=str(root), **more)
    return open_source(config.dataset, split, ["boxes"])


def loaded(source, index: int) -> dict[str, list]:
    (record,) = source.read([index])
    to = Placement((60, 80), (60, 80))
    parts = source.fields["boxes"].load(record.fields["boxes"], to)
    kept = parts["_label"] >= 0
    found = {name: value[kept] for name, value in parts.items()}
    return found | {name: np.round(found[name], 2) for name in ("", "_area")}


LAYOUTS = [coco, coco_in_images, roboflow, devkit, voc_beside, yolo, yolo_by_split]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_objects(layout, tmp_path):
    layout(tmp_path)
    source = opened(tmp_path, most_boxes=3)
    assert source.class_names == ("cat", "dog")
    assert source.fields == {"boxes": Boxes(2, 3)}
    assert len(source) == 2
    assert source.objects == 2
    names = [os.path.basename(source.describe(i)) for i in range(2)]
    assert sorted(names) == ["a.jpg", "b.jpg"]
    found = loaded(source, names.index("a.jpg"))
    # By the class, as the order of objects has no meaning.
    order = np.argsort(found["_label"])
    assert found[""][order].tolist() == [[0, 0, 80, 60], [10, 20, 30, 50]]
    told = layout in (coco, coco_in_images, roboflow)
    assert found["_area"][order].tolist() == ([123, 123] if told else [4800, 600])
    crowd = found["_crowd"][order].tolist()
    assert crowd == ([True, False] if told else [False, layout in (devkit, voc_beside)])
    assert not len(loaded(source, names.index("b.jpg"))["_label"])
    assert len(opened(tmp_path, "train[:50%]")) == 1
    assert set(opened(tmp_path, "train[:50%]").places()) < set(source.places())


def test_pictures_without_a_file_of_their_own_show_nothing(tmp_path):
    voc_beside(tmp_path / "voc")
    assert opened(tmp_path / "voc").note == (
        "1 entry passed over (hidden 1); pictures without annotations, taken as without objects: 1"
    )
    yolo_by_split(tmp_path / "yolo")
    assert "taken as without objects: 1" in opened(tmp_path / "yolo").note


def test_the_classes_of_voc_are_those_of_all_splits_unless_a_file_names_them(tmp_path):
    devkit(tmp_path)
    write(tmp_path / "Annotations/other.xml", of_voc([("ant", 1, 2, 3, 4)]))
    assert opened(tmp_path).class_names == ("ant", "cat", "dog")
    write(tmp_path / "classes.txt", "dog\ncat\n")
    assert opened(tmp_path).class_names == ("dog", "cat")
    voc_beside(tmp_path / "beside")
    write(tmp_path / "beside/valid/x.xml", of_voc([("ant", 1, 2, 3, 4)]))
    assert opened(tmp_path / "beside").class_names == ("ant", "cat", "dog")


def test_yolo_names_classes_by_number_or_in_order(tmp_path):
    yolo(tmp_path, names="names:\n  1: dog\n  0: cat\n")
    assert opened(tmp_path).class_names == ("cat", "dog")
    (tmp_path / "data.yaml").unlink()
    write(tmp_path / "classes.json", '{"classes": ["x", "y"]}')
    assert opened(tmp_path).class_names == ("x", "y")


def test_boxes_that_are_none_are_left_out_and_counted_once(tmp_path):
    bad = [
        ("cat", 5, 5, 5, 9),
        ("cat", 9, 9, 3, 12),
        ("dog", 100, 3, 120, 9),
        ("dog", -9, 3, 20, 9),
    ]
    expected = (
        "boxes left out: 2 without area, 1 outside of the picture (the first in {}); boxes cut off that "
        "reach beyond their picture: 1"
    )
    voc_beside(
        tmp_path / "voc",
        of_voc(OBJECTS + [(n, x0, y0, x1 - (x1 == x0), y1) for n, x0, y0, x1, y1 in bad]),
    )
    yolo(
        tmp_path / "yolo",
        of_yolo(OBJECTS + bad[:2] + bad[3:]) + "1 1.5e-3 0.5 0.01 0.1\n1 0.5 -0.9 0.1 0.1",
    )
    annotations = json.loads(of_coco())["annotations"]
    for number, (_, x0, y0, x1, y1) in enumerate(bad, start=10):
        box = [x0, y0, x1 - x0, y1 - y0]
        annotations.append({"id": number, "image_id": 5, "category_id": 7, "bbox": box})
    roboflow(tmp_path / "coco", annotations=annotations)
    for layout, objects in (("voc", 3), ("yolo", 4), ("coco", 3)):
        source = opened(tmp_path / layout)
        (first,) = [source.describe(i) for i in range(2) if source.describe(i).endswith("a.jpg")]
        assert expected.format(first) in source.note
        assert source.objects == objects
        assert len(loaded(source, 0 if layout != "coco" else 1)["_label"]) == objects


def test_absent_pictures_may_be_tolerated(tmp_path):
    coco(tmp_path)
    (tmp_path / "train2017" / "b.jpg").unlink()
    (tmp_path / "train2017" / "a.jpg").rename(tmp_path / "elsewhere.jpg")
    (tmp_path / "train2017" / "a.jpg").symlink_to("../elsewhere.jpg")
    with pytest.raises(UsageError, match=r"train2017 lacks 1 of the 2 pictures of .*\(b.jpg\)"):
        opened(tmp_path)
    source = opened(tmp_path, max_corrupt=1)
    assert isinstance(source.read([0])[0], OSError)
    assert source.read([1])[0].image == PICTURE
    assert str(tmp_path / "elsewhere.jpg") in source.places()


def test_a_training_split_without_objects_is_refused(tmp_path):
    yolo(tmp_path, a="")
    write(tmp_path / "labels/test/c.txt", of_yolo())
    pictures(tmp_path / "images/test", "c")
    config = base.get_config()
    empty, full = opened(tmp_path), opened(tmp_path, "test")
    assert (empty.objects, full.objects) == (0, 2)
    with pytest.raises(
        UsageError, match=r"the 2 pictures of config.dataset.split=train show no objects"
    ):
        data.check_splits(config, empty, full)
    data.check_splits(config, full, empty)


def change(layout: Callable, **changes: Any) -> Callable[[Path], None]:
    return lambda root: layout(root, **changes)


def beside(layout: Callable, name: str, content: str | bytes = "") -> Callable[[Path], None]:
    def make(root: Path) -> None:
        layout(root)
        write(root / name, content)

    return make


def without(layout: Callable, name: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        layout(root)
        (root / name).unlink()

    return make


ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: None,
            r"holds no boxes of the split 'train': expected COCO's annotations/\*train",
        ),
        (change(coco, images=[]), "lists no pictures"),
        (change(coco, images=None), "has no list of objects 'images'"),
        (change(coco, annotations=[3]), "has no list of objects 'annotations'"),
        (change(coco, categories=[]), "names no classes"),
        (change(coco, images_0_id=5), "has the image id 5 twice, as files may"),
        (change(coco, images_0_file_name="./a.jpg"), "has the file_name 'a.jpg' twice"),
        (
            change(coco, images_0_file_name=None),
            "image 0 of the list lacks its id or its file_name",
        ),
        (change(coco, annotations_0_id=1), "has the annotation id 1 twice"),
        (change(coco, annotations_0_id=[1]), r"the annotation id \[1\] is neither"),
        (
            change(coco, annotations_0_image_id=6),
            "annotation 0 is of the picture 6, which the file does not",
        ),
        (change(coco, annotations_0_image_id=[]), r"of the picture \[\], which"),
        (
            change(coco, annotations_0_category_id=8),
            "annotation 0 is of the category 8, which the file does",
        ),
        (change(coco, annotations_0_bbox=[1, 2, 3]), "annotation 0 has no bbox of four numbers"),
        (change(coco, annotations_0_bbox=[1, 2, "3", 4]), "annotation 0 has no bbox of four"),
        (
            change(coco, annotations_0_bbox=[1, 2, float("nan"), 4]),
            "annotation 0 has no bbox of four",
        ),
        (change(coco, annotations_0_bbox=[1, 2, 10**400, 4]), "annotation 0 has no bbox of four"),
        (change(coco, categories_0_id=7), "has the category id 7 twice"),
        (
            change(coco, categories_0_id="x"),
            "category 0 of the list needs a name and a whole number",
        ),
        (change(coco, categories_0_name="cat"), "names the class 'cat' 2 times"),
        (
            change(
                coco,
                annotations=[
                    {"image_id": 5, "category_id": 7, "bbox": [0.1, 0.2, side, 0.5]}
                    for side in (0.5, 0.6, 1.2)
                ],
            ),
            "most boxes of .*train2017.json lie within 0 to 1, as fractions do, and must be in pixels",
        ),
        (
            beside(coco, "annotations/instances_train2017.json", "{"),
            "is damaged: .*line 1 column 2",
        ),
        (beside(coco, "annotations/instances_train2017.json", b"\xff"), "is no text in UTF-8"),
        (
            beside(coco, "annotations/instances_train2014.json"),
            r"several files of the split 'train' \(instances_train2014.json, instances_train2017.json\)",
        ),
        (
            change(devkit, names="a\nc\n"),
            r"1 of the names in .*train.txt have no picture in .*\(c\)",
        ),
        (change(devkit, names="a\nunused\n"), r"have no NAME.xml in .*Annotations \(unused\)"),
        (change(devkit, names="a\na\n"), "lists a twice"),
        (change(devkit, names="\n"), "lists no pictures"),
        (change(devkit, a="<annotation>"), "a.xml is damaged: no element found: line 1"),
        (change(devkit, a=ENTITY), "a.xml declares entities"),
        (change(devkit, a=of_voc(more="<object/>")), "a.xml: object 3 needs a name, and a bndbox"),
        (
            change(devkit, a=of_voc().replace("<xmin>11</xmin>", "<xmin>?</xmin>")),
            "a.xml: object 1 needs a name",
        ),
        (
            change(devkit, a=of_voc([("cat", -0.8, -0.9, 0.5, 0.7)])),
            "most boxes of .*train.txt lie within 0 to 1",
        ),
        (
            change(devkit, a=of_voc().replace("<xmax>30</xmax>", "<xmax>inf</xmax>")),
            "a.jpg has a box with a corner that is no finite number",
        ),
        (
            lambda root: (devkit(root), write(root / "classes.txt", "dog")),
            "a.xml has an object of the class 'cat', which is none of dog: mend it, or add",
        ),
        (
            beside(voc_beside, "train/c.xml", of_voc()),
            r"1 annotation in .*train without a.*c.xml",
        ),
        (beside(voc_beside, "train/a.png", PICTURE), "holds a.jpg and a.png: keep one"),
        (
            change(yolo, a="0 0.5 0.5 0.1"),
            "a.txt, line 1: must be five numbers.* not '0 0.5 0.5 0.1'",
        ),
        (change(yolo, a="\n0 0.5 0.5 x 1"), "a.txt, line 2: must be five numbers"),
        (change(yolo, a=b"\xff\xfe"), "a.txt is no text in UTF-8"),
        (
            change(yolo, a="2 0.5 0.5 0.1 0.1"),
            "line 1: has the class 2, which is none of the 2, 0 to 1",
        ),
        (change(yolo, a="0.5 0.5 0.5 0.1 0.1"), "line 1: has the class 0.5"),
        (
            change(yolo, a="0 40 30 10 12"),
            "line 1: has a box of 40 30 10 12, and must have fractions",
        ),
        (change(yolo, a="0 nan 0.5 0.1 0.1"), "line 1: has a box of nan"),
        (change(yolo, names="names: []"), "data.yaml must name the classes"),
        (change(yolo, names="names: {0: cat, 2: dog}"), "data.yaml must name the classes"),
        (change(yolo, names="names: [yes, no]"), "must name the classes.* quoted where"),
        (change(yolo, names="names: &a [*a]"), "must name the classes"),
        (change(yolo, names="names: [2001-13-45]"), "data.yaml is damaged"),
        (change(yolo, names="names: !!bool x"), "data.yaml is damaged"),
        (change(yolo, names="names: [cat, ' ']"), "data.yaml names a class without a name"),
        (change(yolo, names="- names"), "data.yaml must name the classes"),
        (change(yolo, names="names: [cat, cat]"), "names the class 'cat' 2 times"),
        (change(yolo, names="names: [cat"), "data.yaml is damaged"),
        (without(yolo, "data.yaml"), "nobody names the classes of"),
        (beside(yolo, "labels/train/c.txt"), "1 annotation in .*c.txt"),
        (
            change(yolo, a=of_yolo() * 51),
            "a.jpg has 102 objects, more than config.dataset.most_boxes=100",
        ),
        (without(yolo_by_split, "train/labels/a.txt"), "labels holds no annotations"),
    ],
)
def test_what_cannot_be_is_one_line(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(UsageError, match=message) as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)


def test_a_root_that_is_absent_is_told():
    with pytest.raises(UsageError, match="no folder /nowhere"):
        opened(Path("/nowhere"))
    config = base.get_config()
    config.dataset.name = "folder"
    with pytest.raises(UsageError, match="needs its root"):
        open_source(config.dataset, "train", ["boxes"])


def test_pictures_of_another_size_than_annotated_are_told(tmp_path):
    from chanattn.data.batches import decoded
    from chanattn.data.fit import Fit

    roboflow(tmp_path, images_0_height=80, images_0_width=60)
    source = opened(tmp_path)
    (record,) = source.read([0])
    with pytest.raises(
        UsageError, match="b.jpg has boxes of a picture of 80x60 pixels, and is one of 60x80: or"
    ):
        decoded(source, Fit((60, 80, 3), resize=False), 0, record)
