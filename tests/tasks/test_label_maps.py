"""Label maps as pictures: colours at known pixels, void, numbers and palette of the files, sheets."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from chanattn.data.fields import VOID, Placement
from chanattn.prediction.sheet import sheet
from chanattn.tasks import label_maps
from chanattn.tasks.segmentation import Segmentation

NAMES = tuple(f"class {number}" for number in range(11))


def test_colours_of_classes_differ_and_do_not_depend_on_how_many_there_are() -> None:
    colours = label_maps.palette(256)
    np.testing.assert_array_equal(colours[:11], label_maps.palette(11))
    assert len(np.unique(colours, axis=0)) == 256
    first = colours[:20].astype(float)
    distance = np.linalg.norm(first[:, None] - first[None], axis=-1)
    assert distance[~np.eye(20, dtype=bool)].min() > 40


def test_an_overlay_has_the_colours_of_the_classes_and_hatches_what_has_none() -> None:
    picture = np.full((3, 4, 3), 100, np.uint8)
    labels = np.array([[0, 1, 2, VOID]] * 3)
    seen = label_maps.overlay(picture, labels)
    assert seen.shape == (3 * 64, 4 * 64, 3)  # enlarged by a whole factor
    for label in range(3):
        expected = np.rint(0.65 * label_maps.palette(3)[label] + 0.35 * 100)
        part = seen[:, 64 * label : 64 * (label + 1)].reshape(-1, 3)
        np.testing.assert_array_equal(np.unique(part, axis=0), [expected])
    assert {tuple(c) for c in seen[:, 192:].reshape(-1, 3)} == {(120,) * 3, (255,) * 3}


@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (1300, 2600)])
def test_a_drawing_can_be_looked_at_whatever_the_picture(size: tuple[int, int]) -> None:
    drawn = label_maps.overlay(np.zeros((*size, 3), np.uint8), np.zeros(size, np.int8))
    assert 256 <= max(drawn.shape) <= 1200
    assert drawn.shape == label_maps.seen(np.zeros((*size, 3), np.uint8)).shape


def test_the_file_of_a_label_map_holds_its_numbers_and_the_palette() -> None:
    labels = np.random.default_rng(0).integers(0, 256, (7, 9), np.uint8)
    png = label_maps.encoded(labels)
    image = Image.open(io.BytesIO(png))
    assert (image.mode, image.size) == ("P", (9, 7))
    np.testing.assert_array_equal(np.asarray(image), labels)
    in_colours = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(in_colours, label_maps.palette(256)[labels])
    many = np.arange(300, dtype=np.uint16).reshape(3, 100)
    png = label_maps.encoded(many)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), -1), many)


def test_a_sheet_has_all_colours_in_its_legend_and_a_column_for_picture_label_prediction() -> None:
    task = Segmentation()
    legend = task.legend(NAMES)
    assert list(legend) == [*NAMES, "no class"]
    rng = np.random.default_rng(0)
    drawn = []
    for size in ((8, 8), (30, 20)):
        example = {"image": np.zeros((*size, 3), np.uint8), "label_map": np.full(size, VOID)}
        told = {"label_map": rng.integers(0, 11, size, np.uint8)}
        drawn.append(task.draw(example, told))
        assert list(drawn[-1]) == ["picture", "label", "prediction"]
    pixels = {tuple(colour) for colour in sheet(drawn, legend).reshape(-1, 3).tolist()}
    assert {colour for colour in legend.values() if colour is not None} <= pixels
    assert sheet(drawn, legend, side=100).shape[1] == 400
    (alone,) = ({"": rng.integers(0, 255, (4, 5, 3), np.uint8)},)
    assert sheet([alone], {}) is alone[""]


def test_classes_are_compared_at_the_size_of_the_picture() -> None:
    """Against OpenCV's bilinear interpolation of the part that the picture takes."""
    logits = np.random.default_rng(0).normal(size=(12, 16, 5)).astype(np.float32)
    task = Segmentation()
    same = task.at_stored_size({"logits": logits}, Placement((12, 16), (12, 16)))["label_map"]
    np.testing.assert_array_equal(same, logits.argmax(axis=-1))
    # 30x20 into 12x16: scaled by 0.4 to 12x8, the rest is padding.
    logits[:, 8:] = 1e6 * np.eye(5)[3]
    placement = Placement((30, 20), (12, 16), 0.0, 0.0, 0.4, 0.4)
    found = task.at_stored_size({"logits": logits}, placement)["label_map"]
    expected = cv2.resize(logits[:, :8], (20, 30), interpolation=cv2.INTER_LINEAR).argmax(-1)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint8


def test_the_shares_are_those_of_the_pixels_the_largest_first() -> None:
    told = Segmentation().told({"label_map": np.array([[2, 2], [2, 0]])}, ("a", "b", "c"), most=2)
    assert list(told["shares"].items()) == [("c", 0.75), ("a", 0.25)]
    assert Segmentation().rows(told) == [("c", "75.00%"), ("a", "25.00%")]
