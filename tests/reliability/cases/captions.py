"""Folders of pictures with captions that are not what they should be, and vocabularies of others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.reliability.case import Case
from tests.reliability.cases.boxes import COUNTS
from tests.reliability.cases.data_sets import FOLDER, JPEG, TRAIN, pictures
from tests.reliability.making import both, data, run, text, tiny

CAPTIONS = f"{FOLDER} --config.task.name=captioning --config.dataset.least_count=1"
EVAL = "eval.py --workdir=RUN"
Make = Callable[[Path], None]


def _picture(place: Path, name: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(JPEG)


def coco(*, of: str = "annotations", test: str = "a cat", **changes: Any) -> Make:
    """D with 8 and 2 pictures in COCO's format; the first entry of a list of the training split is changed.

    `test` is the caption of every picture of the test split.
    """

    def make(folder: Path) -> None:
        for split, count in COUNTS.items():
            content: dict[str, list[dict[str, Any]]] = {
                "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(count)],
                "annotations": [
                    {
                        "id": i,
                        "image_id": i,
                        "caption": "A small dog." if split == "train" else test,
                    }
                    for i in range(count)
                ],
            }
            if split == "train":
                content[of][0].update(changes)
            path = folder / "D" / "annotations" / f"captions_{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
            for i in range(count):
                _picture(folder / "D" / split, f"{i}.jpg")
        tiny(folder)

    return make


def karpathy(**changes: Any) -> Make:
    """D with 8 and 2 pictures in Karpathy's format; the first entry of the list is changed."""

    def make(folder: Path) -> None:
        images: list[dict[str, Any]] = [
            {
                "filename": f"{split}{i}.jpg",
                "imgid": f"{split}{i}",
                "split": split,
                "sentences": [{"raw": "A small dog.", "tokens": ["a", "small", "dog"]}],
            }
            for split, count in COUNTS.items()
            for i in range(count)
        ]
        for image in images:
            _picture(folder / "D" / "images", image["filename"])
        images[0].update(changes)
        (folder / "D" / "dataset.json").write_text(json.dumps({"images": images}))
        tiny(folder)

    return make


def _without_words(folder: Path) -> None:
    coco()(folder)
    path = folder / "D" / "annotations" / "captions_train.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["caption"] = "?!"
    path.write_text(json.dumps(content))


def _without_picture(folder: Path) -> None:
    coco()(folder)
    (folder / "D" / "train" / "3.jpg").unlink()


def _begun(names: tuple[str, ...]) -> Make:
    """RUN, as if it had been trained on D with these names of classes."""

    def make(folder: Path) -> None:
        run(folder)
        coco()(folder)
        path = folder / "RUN" / "config.json"
        config = json.loads(path.read_text())
        config["dataset"].update(name="folder", data_dir="D", least_count=1)
        config["task"]["name"] = "captioning"
        path.write_text(json.dumps(config))
        (folder / "RUN" / "classes.json").write_text(json.dumps({"names": names}))

    return make


_SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
AUGMENT = f"{CAPTIONS} --config.dataset.augment"

CASES = (
    Case("captions in folders of classes", CAPTIONS, pictures),
    Case("split without captions", f"{CAPTIONS} --config.dataset.split=all", coco()),
    Case(
        "damaged JSON",
        CAPTIONS,
        both(coco(), text("D/annotations/captions_train.json", '{"images": [')),
    ),
    Case(
        "captions that are no text in UTF-8",
        CAPTIONS,
        both(coco(), data("D/annotations/captions_train.json", b"\xff\xfe")),
    ),
    Case("caption that is no text", CAPTIONS, coco(caption=["a", "dog"])),
    Case("half a character", CAPTIONS, coco(caption="a \ud83d")),
    Case("caption of an unknown picture", CAPTIONS, coco(image_id=99)),
    Case("two captions of an id", CAPTIONS, coco(id=1)),
    Case("two pictures of an id", CAPTIONS, coco(of="images", id=1)),
    Case("picture that is absent", CAPTIONS, _without_picture),
    Case("captions without words", CAPTIONS, _without_words),
    Case("evaluation split without captions", CAPTIONS, coco(test="")),
    Case("words that are all too rare", f"{CAPTIONS} --config.dataset.least_count=9", coco()),
    Case("split that Karpathy's file lacks", f"{CAPTIONS} --config.dataset.split=all", karpathy()),
    Case("Karpathy's file without sentences", CAPTIONS, karpathy(sentences="a dog")),
    Case("picture without a split", CAPTIONS, karpathy(split=3)),
    Case("picture that is listed twice", CAPTIONS, karpathy(filename="test0.jpg")),
    Case("two files of Karpathy's", CAPTIONS, both(karpathy(), text("D/dataset_own.json", "{}"))),
    Case("a part of two splits", f"{CAPTIONS} --config.dataset.split=train+test[:1]", karpathy()),
    Case("mirrored captions", f"{AUGMENT}.flip=true", coco()),
    Case("mixed captions", f"{AUGMENT}.mixup=0.2", coco()),
    Case("scaled captions", f"{AUGMENT}.random_scale=(0.5,2.0)", coco()),
    Case("random crops of captions", f"{AUGMENT}.random_resized_crop=true", coco()),
    Case(
        "shapes without room for two",
        f"{TRAIN} --config.task.name=captioning --config.dataset.name=shapes",
        tiny,
    ),
    Case("words beside classes", f"{FOLDER} --config.dataset.most_words=9", pictures),
    Case("group of words without a name", f"{CAPTIONS} --config.task.word_groups=('red',)", coco()),
    Case("run with another vocabulary", CAPTIONS, _begun((*_SPECIAL, "a", "cat"))),
    Case("run with the words in another order", CAPTIONS, _begun((*_SPECIAL, "dog", "a", "small"))),
    Case("evaluation of a run without a vocabulary", EVAL, _begun(("cat", "dog"))),
)
