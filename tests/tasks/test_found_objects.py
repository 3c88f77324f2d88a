"""Detections in words and as boxes: what is shown, where, in which colour; crowds; names of any kind."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from chanattn.data.fields import Placement
from chanattn.prediction import output
from chanattn.tasks import found_objects
from chanattn.tasks.classification import Classification
from chanattn.tasks.label_maps import palette

NAMES = ("cell", "plätelet\n$x$", "rbc")


def answer() -> dict[str, np.ndarray]:
    return {
        "detected": np.float32([[8, 16, 40, 56], [2, 2, 9, 9], [1, 1, 5, 5], [0, 0, 0, 0]]),
        "score": np.float32([0.91234567, 0.3, 0.29, 0]),
        "detected_label": np.int32([2, 1, 0, -1]),
    }


def test_what_is_sure_enough_is_told_and_all_of_it_kept_as_arrays() -> None:
    told = found_objects.told(answer(), NAMES)
    assert told["objects"] == [
        {"class": "rbc", "score": 0.9123, "box": [8.0, 16.0, 40.0, 56.0]},
        {"class": NAMES[1], "score": 0.3, "box": [2.0, 2.0, 9.0, 9.0]},
    ]
    plain = {n: value for n, value in told.items() if not isinstance(value, np.ndarray)}
    assert list(plain) == ["objects"]
    json.dumps(plain)
    assert len(found_objects.told(answer(), NAMES, most=1)["objects"]) == 1
    assert found_objects.rows(told) == [
        ("rbc", "0.91", "8 16 40 56"),
        ("plätelet $x$", "0.30", "2 2 9 9"),
    ]
    nothing = answer() | {"detected_label": np.full(4, -1)}
    assert found_objects.rows(found_objects.told(nothing, NAMES)) == [("nothing", "", "")]


def test_boxes_come_back_to_the_stored_picture() -> None:
    stored = found_objects.at_stored_size(answer(), Placement((20, 40), (64, 64), -5, 0, 2.0, 1.6))
    np.testing.assert_allclose(stored["detected"][0], [5, 3, 25, 20], rtol=1e-6)
    assert stored["score"] is not None


@pytest.mark.parametrize("size", [(64, 64), (3, 700), (900, 1300)])
def test_boxes_have_the_colours_of_their_classes_beside_the_ground_truth(
    size: tuple[int, int],
) -> None:
    height, width = size
    box = np.float32([[width * 0.25, height * 0.5, width * 0.75, height * 0.9]])
    found = {"detected": box, "score": np.float32([0.9]), "detected_label": np.int32([2])}
    example = {
        "image": np.full((*size, 3), 60, np.uint8),
        "boxes": np.concatenate([box, np.full((1, 4), np.nan, np.float32)]),
        "boxes_label": np.int32([0, -1]),
        "boxes_crowd": np.array([False, False]),
    }
    told = found_objects.told(found, NAMES)
    drawn = found_objects.draw(example, told)
    assert list(drawn) == ["ground truth", "prediction"]
    assert 512 <= max(drawn["prediction"].shape) <= 1200
    scale = drawn["prediction"].shape[1] / width
    x, y = round(width * 0.6 * scale), round(height * 0.9 * scale)
    y = min(y, drawn["prediction"].shape[0] - 1)
    for name, label in (("ground truth", 0), ("prediction", 2)):
        assert tuple(drawn[name][y, x]) == tuple(palette(3)[label])
    assert list(found_objects.draw({"image": example["image"]}, told)) == ["prediction"]
    assert found_objects.legend(NAMES) == {
        name: tuple(palette(3)[n].tolist()) for n, name in enumerate(NAMES)
    }


def test_the_sides_of_a_crowd_have_gaps() -> None:
    example = {
        "image": np.zeros((512, 512, 3), np.uint8),
        "boxes": np.float32([[50, 200, 450, 400]]),
        "boxes_label": np.int32([1]),
    }
    told = found_objects.told(answer() | {"detected_label": np.full(4, -1)}, NAMES)
    share = []
    for crowd in (False, True):
        drawn = found_objects.draw(example | {"boxes_crowd": np.array([crowd])}, told)
        side = drawn["ground truth"][400, 60:440]
        share.append((side == palette(2)[1]).all(axis=-1).mean())
    assert share[0] == 1
    assert 0.4 < share[1] < 0.8


def test_prediction_writes_all_detections_with_the_names_of_the_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Task(Classification):
        table = found_objects.TABLE
        most_told = None
        exports = staticmethod(found_objects.exported)
        rows = staticmethod(found_objects.rows)

    class Fake:
        origin = {"run": "r", "step": 1, "weights": "raw"}  # noqa: RUF012
        class_names = NAMES
        task = Task()
        config = ConfigDict({"task": {"name": "classification"}})

        def answers(self, files, most):
            assert most is None
            return iter([found_objects.told(answer(), NAMES, most) for _ in files])

        def draw(self, file, told):
            return found_objects.draw({"image": np.zeros((64, 64, 3), np.uint8)}, told)[
                "prediction"
            ]

        def conditions(self, pictures):
            return {}

    json_file = tmp_path / "a.json"
    output.predict(Fake(), [Path("x/a.jpg"), Path("b.jpg")], json=json_file, save=tmp_path / "out")
    assert "8 16 40 56" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "all.detections.json").read_text())
    assert [(each["file_name"], each["image_id"]) for each in found[::3]] == [
        (str(Path("x/a.jpg")), 0),
        ("b.jpg", 1),
    ]
    assert found[0]["bbox"] == [8, 16, 32, 40]
    assert np.float32(found[0]["score"]) == answer()["score"][0]
    assert [each["category_id"] for each in found[:3]] == [3, 2, 1]  # unsure ones too
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0001-a.png", "0002-b.png", "all.detections.json"]
    told = json.loads(json_file.read_text())
    assert (told["top"], list(told["predictions"][0]["answer"])) == (None, ["objects"])
    assert cv2.imread(str(tmp_path / "out" / "0001-a.png")).shape == (512, 512, 3)
