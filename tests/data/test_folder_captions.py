"""Folders with captions in COCO's format and in Karpathy's: what is read, told and refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chanattn.data.captions import Captions
from chanattn.data.sources import open_source
from chanattn.errors import UsageError
from configs import base
from tests.data.test_folder_boxes import PICTURE, beside, pictures, write

#: By picture; b has none.
CAPTIONS: dict[str, list[str]] = {"a": ["A dog.", "Two dogs \U0001f415 run!"], "b": []}


def of_coco(**changes: Any) -> str:
    """COCO's captions of the above. Keywords change a part, or an entry of the first of it: `images_0_id`."""
    ids = {"b": 9, "a": 5}
    texts = [(name, text) for name, several in CAPTIONS.items() for text in several]
    content: dict[str, Any] = {
        "info": {},
        "images": [{"id": number, "file_name": f"{name}.jpg"} for name, number in ids.items()],
        "annotations": [
            {"id": number, "image_id": ids[name], "caption": text}
            for number, (name, text) in enumerate(texts)
        ],
    }
    return changed(content, changes)


def of_karpathy(**changes: Any) -> str:
    """Karpathy's file, with a split of every kind; its `train` is the above."""
    splits = {"a": "train", "b": "train", "c": "val", "d": "test", "e": "restval"}
    images = [
        {
            "filename": f"{name}.jpg",
            "imgid": number,
            "split": split,
            "sentences": [
                {"raw": text, "tokens": ["not", "this"], "sentid": place}
                for place, text in enumerate(CAPTIONS.get(name, [f"it is {name}"]))
            ],
        }
        for number, (name, split) in enumerate(splits.items())
    ]
    return changed({"images": images, "dataset": "own"}, changes)


def changed(content: dict[str, Any], changes: dict[str, Any]) -> str:
    for path, value in changes.items():
        part, _, entry = path.partition("_0_")
        if entry:
            content[part][0][entry] = value
        else:
            content[part] = value
    return json.dumps({name: value for name, value in content.items() if value is not None})


def coco(root: Path, **changes: Any) -> None:
    write(root / "annotations" / "captions_train2017.json", of_coco(**changes))
    write(root / "annotations" / "instances_train2017.json", "no JSON")
    pictures(root / "train2017")


def coco_in_images(root: Path) -> None:
    write(root / "annotations" / "train.json", of_coco())
    pictures(root / "images" / "train")


def karpathy(root: Path, **changes: Any) -> None:
    write(root / "dataset_own.json", of_karpathy(**changes))
    pictures(root / "Own_Pictures", *"abcde")


def karpathy_by_folder(root: Path) -> None:
    """As that of COCO, which names the folders of COCO's pictures; those captions are not asked for."""
    content = json.loads(of_karpathy())
    for image in content["images"]:
        image["filepath"] = "val2014"
    write(root / "dataset.json", json.dumps(content))
    write(root / "annotations" / "captions_train2014.json", "no JSON")
    pictures(root / "images" / "val2014", *"abcde")


def opened(root: Path, split: str = "train", **more: Any) -> Any:
    config = base.get_config()
    config.dataset.update(name="folder", data_dir=str(root), **more)
    return open_source(config.dataset, split, ["captions"])


def told(source: Any) -> dict[str, list[str]]:
    """The captions by the names of the pictures; those of the records must be the same."""
    found = {}
    for index, record in enumerate(source.read(range(len(source)))):
        captions = list(source.captions_of(index))
        assert list(record.fields["captions"]) == captions
        assert record.image == PICTURE
        found[Path(source.describe(index)).stem] = captions
    return found


@pytest.mark.parametrize("layout", [coco, coco_in_images, karpathy, karpathy_by_folder])
def test_every_layout_gives_the_same_captions(layout: Callable, tmp_path: Path) -> None:
    layout(tmp_path)
    source = opened(tmp_path)
    assert told(source) == CAPTIONS
    assert source.fields == {"captions": Captions()}
    assert source.objects is None
    assert (source.note, source.absent, source.class_names) == ("", (), ())
    part = opened(tmp_path, "train[:50%]")
    assert set(part.places()) < set(source.places())
    assert told(part).items() <= CAPTIONS.items()
    with pytest.raises(UsageError, match="holds no examples"):
        opened(tmp_path, "train[:0]")


def test_a_stray_picture_does_not_hide_the_folder_of_the_others(tmp_path: Path) -> None:
    karpathy(tmp_path)
    pictures(tmp_path, "a")
    assert told(opened(tmp_path)) == CAPTIONS
    assert "Own_Pictures" in opened(tmp_path).describe(0)


def test_splits_of_karpathy_are_not_mixed_unless_that_is_asked_for(tmp_path: Path) -> None:
    karpathy(tmp_path)
    for split, names in {
        "train": "ab",
        "val": "c",
        "validation": "c",
        "test": "d",
        "restval": "e",
        "train+restval": "abe",
    }.items():
        assert sorted(told(opened(tmp_path, split))) == list(names)
    with pytest.raises(UsageError, match=r"no split 'dev'; it has restval, test, train, val: "):
        opened(tmp_path, "train+dev")
    with pytest.raises(UsageError, match="is not understood"):
        opened(tmp_path, "train+restval[:50%]")  # of which it would be unclear what is halved


def test_words_are_joined_only_where_nothing_is_written(tmp_path: Path) -> None:
    karpathy(tmp_path, images_0_sentences=[{"tokens": ["a", "cat"]}, {"raw": "", "tokens": ["x"]}])
    assert told(opened(tmp_path))["a"] == ["a cat", ""]


@pytest.mark.parametrize("layout", [coco, karpathy])
def test_absent_pictures_may_be_tolerated(layout: Callable, tmp_path: Path) -> None:
    layout(tmp_path)
    (place,) = [path.parent for path in tmp_path.rglob("b.jpg")]
    (place / "b.jpg").unlink()
    (place / "a.jpg").rename(tmp_path / "elsewhere.jpg")
    (place / "a.jpg").symlink_to("../elsewhere.jpg")
    with pytest.raises(UsageError, match=rf"{place.name} lacks 1 of the 2 pictures .*\(b.jpg\)"):
        opened(tmp_path)
    source = opened(tmp_path, max_corrupt=1)
    names = [os.path.basename(source.describe(i)) for i in range(2)]
    assert isinstance(source.read([names.index("b.jpg")])[0], OSError)
    assert str(tmp_path / "elsewhere.jpg") in source.places()


def change(layout: Callable, **changes: Any) -> Callable[[Path], None]:
    return lambda root: layout(root, **changes)


HALF = "half a character \ud83d"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: pictures(root / "train" / "cat"),
            r"holds no captions of the split 'train': expected COCO's annotations/captions_train\*.json, or"
            r" Karpathy's dataset.json or dataset_\*.json; see docs/captioning.md",
        ),
        (
            lambda root: write(root / "annotations" / "instances_train2017.json", "{}"),
            "holds no captions of the split 'train'",
        ),
        (change(coco, images=[]), "lists no pictures"),
        (change(coco, images=None), "has no list of objects 'images', which COCO's captions have"),
        (change(coco, annotations=[3]), "has no list of objects 'annotations'"),
        (change(coco, images_0_id=5), "has the image id 5 twice, as files may"),
        (change(coco, images_0_file_name="./a.jpg"), "has the file_name 'a.jpg' twice"),
        (change(coco, annotations_0_id=1), "has the annotation id 1 twice"),
        (
            change(coco, annotations_0_image_id=6),
            "annotation 0 is of the picture 6, which the file",
        ),
        (change(coco, annotations_0_caption=None), r"annotation 0 has a caption .* text \(None\)"),
        (change(coco, annotations_0_caption=["a"]), r"a caption that is no text \(\['a'\]\): mend"),
        (change(coco, annotations_0_caption=HALF), "annotation 0 has a caption that is no text"),
        (beside(coco, "annotations/captions_train2017.json", "{"), "is damaged: .*line 1 column 2"),
        (beside(coco, "annotations/captions_train2017.json", b"\xff"), "is no text in UTF-8"),
        (
            beside(coco, "annotations/captions_train2014.json"),
            r"several files .* \(captions_train2014.json, captions_train2017.json\).*split=train2014$",
        ),
        (beside(karpathy, "dataset.json"), "holds dataset.json and dataset_own.json: keep one"),
        (beside(karpathy, "dataset_own.json", "["), "dataset_own.json is damaged"),
        (beside(karpathy, "dataset_own.json", "[]"), "'images', which Karpathy's captions have"),
        (change(karpathy, images=[]), "no split 'train'; it has no pictures"),
        (change(karpathy, images_0_filename=""), "image 0 of the list has no filename"),
        (change(karpathy, images_0_filepath=3), "image 0 of the list has no filename"),
        (change(karpathy, images_0_split=None), "image 0 of the list, a.jpg, tells no split"),
        (change(karpathy, images_0_filename="./d.jpg"), "has the picture 'd.jpg' twice"),
        (change(karpathy, images_0_imgid=2), "has the imgid 2 twice"),
        (change(karpathy, images_0_sentences="a dog"), "a.jpg has sentences that are no list"),
        (change(karpathy, images_0_sentences=["a dog"]), "a.jpg has sentences that are no list"),
        (change(karpathy, images_0_sentences=[{}]), "a.jpg has a caption that is no text"),
        (change(karpathy, images_0_sentences=[{"raw": 3}]), r"a caption that is no text \(3\)"),
        (change(karpathy, images_0_sentences=[{"tokens": ["a", 3]}]), "a caption that is no text"),
    ],
)
def test_what_cannot_be_is_one_line(make: Callable, message: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match=message) as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)


def test_a_root_that_is_absent_is_told() -> None:
    with pytest.raises(UsageError, match="no folder /nowhere.* with pictures and captions"):
        opened(Path("/nowhere"))
    config = base.get_config()
    config.dataset.name = "folder"
    with pytest.raises(UsageError, match="needs its root.* with pictures and captions"):
        open_source(config.dataset, "train", ["captions"])
