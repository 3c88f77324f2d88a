"""Folders with label maps: what is a pair, what a label map may be, and what `classes.json` says."""

import io
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from chanattn import data
from chanattn.data.fields import Mask, Placement, WrongValue
from chanattn.data.sources import open_source
from chanattn.data.sources.folder_label_maps import read_classes
from chanattn.errors import UsageError
from configs import base

NUMBERS = (np.arange(48).reshape(6, 8) // 20).astype(np.uint8)  # 0, 1 and 2
CLASSES = {"classes": ["ground", "sky", "tree"], "void": 255}
PICTURE = cv2.imencode(".jpg", np.full((6, 8, 3), 90, np.uint8))[1].tobytes()


def png(numbers: np.ndarray) -> bytes:
    return cv2.imencode(".png", numbers)[1].tobytes()


def with_palette(numbers: np.ndarray, colours: int, bits: int = 8) -> bytes:
    picture = Image.fromarray(numbers, "L").convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 3 * colours, np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", bits=bits)
    return file.getvalue()


def put(root: Path, classes: object = CLASSES, **files: bytes) -> Path:
    """A split `train` with the pictures a and b/c, their label maps, and further files."""
    own = {
        **{f"train/images/{name}.jpg": PICTURE for name in ("a", "b/c")},
        **{f"train/labels/{name}.png": png(NUMBERS) for name in ("a", "b/c")},
    }
    for name, content in (own | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    if classes is not None:
        (root / "classes.json").write_text(json.dumps(classes))
    return root


def opened(root: Path, split: str = "train", fields=("label_map",), **more):
    config = base.get_config()
    config.dataset.update(name="folder", data_dir=str(root), **more)
    return open_source(config.dataset, split, fields)


def test_pictures_go_with_the_label_maps_of_the_same_path(tmp_path):
    other = png(NUMBERS.T.reshape(6, 8))
    put(
        tmp_path,
        **{
            "train/labels/b/c.png": other,
            "train/images/.hidden.jpg": b"",
            "train/labels/x.txt": b"",
        },
    )
    source = opened(tmp_path)
    assert source.class_names == ("ground", "sky", "tree")
    assert source.fields == {"label_map": Mask(3, 255)}
    assert [os.path.relpath(source.describe(i), tmp_path) for i in (0, 1)] == [
        "train/images/a.jpg",
        "train/images/b/c.jpg",
    ]
    assert source.read([1])[0].fields["label_map"] == other
    assert (
        "images: 1 entry passed over (hidden 1); labels: 1 entry passed over (.txt 1)"
        in source.note
    )
    assert len(opened(tmp_path, "train[:50%]")) == 1
    assert len(set(opened(tmp_path, "train[:50%]").places()) & set(source.places())) == 1
    found = list(data.annotations(source))
    np.testing.assert_array_equal(found[0]["label_map"], NUMBERS)


@pytest.mark.parametrize(
    "stored",
    [
        with_palette(NUMBERS, 256),
        with_palette(NUMBERS, 3),
        with_palette(NUMBERS, 4, bits=2),
        png(NUMBERS.astype(np.uint16)),
    ],
    ids=["palette larger than the classes", "palette", "palette of 2 bits", "16 bits"],
)
def test_the_numbers_of_a_label_map_are_those_stored(stored):
    np.testing.assert_array_equal(Mask(3, None).stored(stored), NUMBERS)


AS_STORED = Placement((6, 8), (6, 8))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (png(np.stack([NUMBERS] * 3, -1)), "label map of 3 channels: save it with one"),
        (png(np.stack([NUMBERS] * 4, -1)), "label map of 4 channels"),
        (
            cv2.imencode(".jpg", NUMBERS)[1].tobytes(),
            "label map as JPEG, which changes the numbers",
        ),
        (
            png(NUMBERS[:5]),
            "label map of 5x8 pixels, and a picture of 6x8: they must have the same",
        ),
        (png(NUMBERS.T), "label map of 8x6 pixels.*orientation tags are ignored, so turn"),
        (
            png(NUMBERS * 100),
            "value 100, which is none of the 3 classes, 0 to 2, and no void is decl",
        ),
        (png(NUMBERS.astype(np.uint16) * 257), "the value 257"),
    ],
)
def test_what_is_no_label_map_says_why(stored, message):
    with pytest.raises(WrongValue, match=message):
        Mask(3, None).load(stored, AS_STORED)


def test_counting_refuses_what_training_would(tmp_path):
    colours = png(np.stack([NUMBERS] * 3, -1))
    with pytest.raises(UsageError, match=r"a\.jpg has a label map of 3 channels"):
        list(data.annotations(opened(put(tmp_path, **{"train/labels/a.png": colours}))))


def test_a_damaged_palette_is_a_corrupt_picture(tmp_path):
    damaged = bytearray(with_palette(NUMBERS, 256))
    damaged[-30] ^= 255
    put(tmp_path, **{"train/labels/a.png": bytes(damaged)})
    assert len(list(data.annotations(opened(tmp_path)))) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train/images/d.jpg": PICTURE, "train/images/e.png": b""},
            "2 pictures in .*images without.*d.jpg, e.png",
        ),
        (
            {"train/labels/d.png": b""},
            "1 label map in .*labels without a picture of the same name.*d.png",
        ),
        (
            {"train/labels/d.jpg": PICTURE},
            "1 label map in .*labels of another format than PNG .d.jpg.",
        ),
        ({"train/images/a.png": PICTURE}, "images holds a.jpg and a.png: keep one"),
    ],
)
def test_what_is_no_pair_is_counted_and_named(files, message, tmp_path):
    with pytest.raises(UsageError, match=message) as error:
        opened(put(tmp_path, **files))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_folder_that_is_absent_or_empty_is_named(name, tmp_path):
    folder = put(tmp_path) / "train" / name
    folder.rename(tmp_path / "away")
    with pytest.raises(UsageError, match=f"no folder {folder}"):
        opened(tmp_path)
    folder.mkdir()
    with pytest.raises(UsageError, match=f"{folder} holds no"):
        opened(tmp_path)


def test_the_layout_decides_about_the_fields(tmp_path):
    with pytest.raises(
        UsageError, match="no field 'label'.*its fields: label_map: <split>/<class>"
    ):
        opened(put(tmp_path), fields=("label",))
    plain = tmp_path / "plain"
    for name in ("images", "dogs"):
        (plain / "train" / name).mkdir(parents=True)
        (plain / "train" / name / "a.jpg").write_bytes(PICTURE)
    assert opened(plain, fields=("label",)).class_names == ("dogs", "images")
    with pytest.raises(
        UsageError, match="no field 'label_map'.*its fields: label: .*<split>/images"
    ):
        opened(plain)
    with pytest.raises(UsageError, match="of 'folder' classes.json does: leave them out"):
        opened(tmp_path, void=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no .*classes.json, which says what the numbers"),
        ("{", "classes.json is damaged"),
        ("\xff", "classes.json has no|classes.json is damaged"),
        ('["a"]', 'has no "classes"'),
        ('{"classes": []}', 'must have a list of names in "classes"'),
        ('{"classes": ["a", 1]}', 'must have a list of names in "classes"'),
        ('{"classes": ["a", "b", "a"]}', "has the class 'a' twice"),
        ('{"classes": ["a", "b"], "void": 1}', "has void 1, which is the class 'b'"),
        ('{"classes": ["a", "b"], "void": "255"}', "from 0 to 65535 as void, not '255'"),
        ('{"classes": ["a", "b"], "ignore": 255}', "has entries that mean nothing .'ignore'."),
    ],
)
def test_what_the_classes_cannot_be_is_said_in_one_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "classes.json").write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match=message) as error:
        read_classes(tmp_path / "classes.json")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith('write {"classes": ["sky", "road"], "void": 255}')
