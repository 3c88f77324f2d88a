"""Data sets that are absent or not what they should be, and pictures that cannot be read."""

import functools
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.reliability.case import Case
from tests.reliability.making import both, data, text, tiny

TRAIN = "train.py --config=tiny.py --workdir=RUN"
FOLDER = f"{TRAIN} --config.dataset.name=folder --config.dataset.data_dir=D"
MASKS = f"{FOLDER} --config.task.name=segmentation --config.dataset.image_size=0 --config.model.name=resnet8"
PREPARE = "python -m chanattn.data.prepare"

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
JPEG = cv2.imencode(".jpg", PIXELS)[1].tobytes()
TALL = cv2.imencode(".jpg", np.zeros((16, 8, 3), np.uint8))[1].tobytes()
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()
LABELS = np.arange(256, dtype=np.uint8).reshape(16, 16) // 128
FLOATS = cv2.imencode(".tiff", PIXELS / np.float32(255))[1].tobytes()


def pictures(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), test: tuple[str, ...] = ()
) -> None:
    """D/train and D/test, 8 and 2 pictures a class, and the recipe."""
    for split, count, names in (("train", 8, classes), ("test", 2, test or classes)):
        for name in names:
            place = folder / "D" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number}.jpg").write_bytes(JPEG)
    tiny(folder)


def with_picture(content: bytes, name: str = "bad.jpg") -> Callable[[Path], None]:
    """The folder with one more picture in a class of the training split."""
    return both(pictures, data(f"D/train/cat/{name}", content))


def _other_classes(folder: Path) -> None:
    pictures(folder, test=("cat", "fox"))


def _more_classes(folder: Path) -> None:
    pictures(folder, test=("cat", "dog", "fox"))


def _two_forms(folder: Path) -> None:
    pictures(folder, classes=("caf\u00e9", "cafe\u0301"))


def _empty_class(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "fox").mkdir()


def _too_deep(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train").rename(folder / "D" / "all")
    (folder / "D" / "train").mkdir()
    (folder / "D" / "all").rename(folder / "D" / "train" / "all")


def _same_split(folder: Path) -> None:
    pictures(folder)
    shutil.rmtree(folder / "D" / "test")
    (folder / "D" / "test").symlink_to("train")


def _line_break(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "a\nb").mkdir()


def _empty(folder: Path) -> None:
    tiny(folder)
    (folder / "D" / "train").mkdir(parents=True)


def _pipe(folder: Path) -> None:
    pictures(folder, classes=("cat",))
    (folder / "D" / "train" / "dog").mkdir()
    (folder / "D" / "test" / "dog").mkdir()
    (folder / "D" / "test" / "dog" / "0.jpg").write_bytes(JPEG)
    os.mkfifo(folder / "D" / "train" / "dog" / "pipe.jpg")


def _dangling(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "cat" / "gone.jpg").symlink_to("nowhere")


def _unreadable(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "cat" / "0.jpg").chmod(0)


def _unreadable_class(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "cat").chmod(0)


def _sizes(folder: Path) -> None:
    pictures(folder)
    (folder / "D" / "train" / "cat" / "odd.png").write_bytes(
        cv2.imencode(".png", np.zeros((5, 7, 3), np.uint8))[1].tobytes()
    )


def label_maps(
    folder: Path,
    classes: str = '{"classes": ["a", "b"], "void": 255}',
    labels: np.ndarray = LABELS,
    picture: bytes = JPEG,
) -> None:
    """D/train and D/test, 8 and 2 pictures with label maps, and the recipe."""
    for split, count in (("train", 8), ("test", 2)):
        for name in ("images", "labels"):
            (folder / "D" / split / name).mkdir(parents=True)
        for number in range(count):
            (folder / "D" / split / "images" / f"{number}.jpg").write_bytes(picture)
            stored = cv2.imencode(".png", labels)[1].tobytes()
            (folder / "D" / split / "labels" / f"{number}.png").write_bytes(stored)
    if classes:
        (folder / "D" / "classes.json").write_text(classes)
    tiny(folder)


def _labelled(**more: Any) -> Callable[[Path], None]:
    return functools.partial(label_maps, **more)


def _unlabelled(folder: Path) -> None:
    label_maps(folder)
    for number in (1, 3):
        (folder / "D" / "train" / "labels" / f"{number}.png").unlink()


def _no_picture(folder: Path) -> None:
    label_maps(folder)
    (folder / "D" / "test" / "images" / "1.jpg").unlink()


def _no_label_maps(folder: Path) -> None:
    label_maps(folder)
    shutil.rmtree(folder / "D" / "train" / "labels")
    (folder / "D" / "train" / "labels").mkdir()


def _jpeg_labels(folder: Path) -> None:
    label_maps(folder)
    for place in (folder / "D").glob("*/labels/*.png"):
        place.rename(place.with_suffix(".jpg"))


def _absent_class(folder: Path) -> None:
    label_maps(folder, classes='{"classes": ["a", "b", "c"], "void": 255}')


def _augmented(field: str) -> Case:
    name = field.partition("=")[0]
    return Case(f"{name} with label maps", f"{MASKS} --config.dataset.augment.{field}", label_maps)


def huge() -> bytes:
    """A PNG of 57 bytes that announces 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    )


CASES = (
    Case("unknown set", f"{TRAIN} --config.dataset.name=cifar11", tiny),
    Case("hostile name of a set", f"{TRAIN} --config.dataset.name=../../etc/passwd", tiny),
    Case("set that is not prepared", "train.py --config=configs/cifar10.py --workdir=RUN"),
    Case("unknown config of a set", f"{TRAIN} --config.dataset.name=cifar10/nope", tiny),
    Case(
        "set that needs another package",
        f"{TRAIN} --config.dataset.name=coco",
        tiny,
        absent=("tensorflow",),
    ),
    Case("unknown split", f"{TRAIN} --config.dataset.split=trian", tiny),
    Case("split that is not understood", f"{TRAIN} --config.dataset.split=train[::2]", tiny),
    Case("split without examples", f"{TRAIN} --config.dataset.split=train[5:5]", tiny),
    Case("split beyond its end", f"{TRAIN} --config.dataset.split=train[:99]", tiny),
    Case(
        "part with pictures that are trained on",
        f"{TRAIN} --config.dataset.eval_split=train[75%:]",
        tiny,
    ),
    Case(
        "training split under another name",
        f"{FOLDER} --config.dataset.split=train[:90%] --config.dataset.eval_split=test",
        _same_split,
    ),
    Case("part without some of the classes", f"{TRAIN} --config.dataset.split=train[:8]", tiny),
    Case("folder that is not named", f"{TRAIN} --config.dataset.name=folder", tiny),
    Case("folder that is absent", FOLDER, tiny),
    Case("folder that is a file", FOLDER, both(tiny, text("D", ""))),
    Case("folder without classes", FOLDER, _empty),
    Case("class without pictures", FOLDER, _empty_class),
    Case("a single class, one level too deep", FOLDER, _too_deep),
    Case("line break in the name of a class", FOLDER, _line_break),
    Case("more classes in the test split", FOLDER, _more_classes),
    Case("other classes in the test split", FOLDER, _other_classes),
    Case("one class in two Unicode forms", FOLDER, _two_forms),
    Case("split that the folder lacks", f"{FOLDER} --config.dataset.eval_split=val", pictures),
    Case("split that leaves the folder", f"{FOLDER} --config.dataset.split=../D/train", pictures),
    Case("picture of 0 bytes", FOLDER, with_picture(b"")),
    Case("truncated JPEG", FOLDER, with_picture(JPEG[:-20])),
    Case("truncated PNG", FOLDER, with_picture(PNG[:-20], "bad.png")),
    Case("damaged JPEG", FOLDER, with_picture(JPEG[:2] + bytes(len(JPEG)) + JPEG[-2:])),
    Case("TIFF of floats", FOLDER, with_picture(FLOATS, "bad.tif")),
    Case("text in place of a picture", FOLDER, with_picture(b"<svg onload=alert(1)>")),
    Case(
        "PNG of 100,000 x 100,000 pixels in 57 bytes",
        FOLDER,
        with_picture(huge(), "huge.png"),
        varies=r"(?<=huge\.png ).*(?=, number)",
    ),
    Case("link that leads nowhere", FOLDER, _dangling),
    Case("pipe in place of a picture", FOLDER, _pipe),
    Case("picture that may not be read", FOLDER, _unreadable, unprivileged=True),
    Case("class folder that may not be read", FOLDER, _unreadable_class, unprivileged=True),
    Case("pictures of several sizes", f"{FOLDER} --config.dataset.image_size=0", _sizes),
    Case("label maps of another size", MASKS, _labelled(labels=LABELS[:8])),
    Case(
        "label maps turned against their pictures",
        MASKS,
        _labelled(picture=TALL, labels=LABELS[:8]),
    ),
    Case(
        "label maps of 16 bits with large numbers", MASKS, _labelled(labels=LABELS * np.uint16(257))
    ),
    Case("label maps in colours", MASKS, _labelled(labels=np.stack([LABELS] * 3, -1))),
    Case("label maps with transparency", MASKS, _labelled(labels=np.stack([LABELS] * 4, -1))),
    Case("label maps as JPEG", MASKS, _jpeg_labels),
    Case(
        "void that is not declared",
        MASKS,
        _labelled(classes='{"classes": ["a", "b"]}', labels=np.where(LABELS, 255, LABELS)),
    ),
    Case("pictures without label maps", MASKS, _unlabelled),
    Case("label map without a picture", MASKS, _no_picture),
    Case("folder of label maps that is empty", MASKS, _no_label_maps),
    Case("classes that nobody names", MASKS, _labelled(classes="")),
    Case("classes that are damaged", MASKS, _labelled(classes='{"classes": [')),
    Case("class named twice", MASKS, _labelled(classes='{"classes": ["a", "a"]}')),
    Case("void among the classes", MASKS, _labelled(classes='{"classes": ["a", "b"], "void": 1}')),
    Case("a single class of pixels", MASKS, _labelled(classes='{"classes": ["a"]}')),
    Case("classification of a folder with label maps", FOLDER, label_maps),
    Case("segmentation of a folder with labels", MASKS, pictures),
    Case(
        "weight of a class without a pixel",
        f"{MASKS} --config.task.class_weights=enet",
        _absent_class,
    ),
    Case("classes declared twice", f"{MASKS} --config.dataset.void=3", label_maps),
    _augmented("mixup=0.2"),
    _augmented("cutmix=1.0"),
    _augmented("cutout=4"),
    _augmented("rand_augment_ops=2"),
    _augmented("random_resized_crop=True"),
    Case("preparation of an unknown set", f"{PREPARE} cifar11"),
    Case("preparation of what needs none", f"{PREPARE} digits"),
    Case("preparation into a file", f"{PREPARE} cifar10 --data_dir=D", text("D", "")),
    Case("archive that is absent", f"{PREPARE} cifar10 --data_dir=D --archive=cifar.tar.gz"),
    Case(
        "archive that is another file",
        f"{PREPARE} cifar10 --data_dir=D --archive=cifar.tar.gz",
        text("cifar.tar.gz", "no archive"),
        writes=("D",),
    ),
)
