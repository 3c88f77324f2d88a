"""Average precision is that of pycocotools and the VOC devkit; confusions follow the rule that is stated."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_detections import CLASSES, NAMES, random_answers

from chanattn.data.fields import Placement, Whereabouts
from chanattn.tasks import average_precision
from chanattn.tasks.average_precision import METRICS, Picture, scores


def by_pycocotools(answers: dict[str, Any], scale: np.ndarray, start: np.ndarray) -> COCOeval:
    """Built from the arrays alone."""
    truth: dict[str, Any] = {
        "images": [{"id": i} for i in range(len(answers["index"]))],
        "categories": [{"id": 10 * k + 5} for k in range(CLASSES)],
        "annotations": [],
    }
    found = []
    for i in range(len(answers["index"])):
        for j, label in enumerate(answers["boxes_label"][i]):
            if label >= 0:
                x0, y0, x1, y1 = np.clip(answers["boxes"][i, j] / scale + start, 0, 400).tolist()
                crowd, area = answers["boxes_crowd"][i, j], float(answers["boxes_area"][i, j])
                truth["annotations"].append({
                    "id": len(truth["annotations"]) + 1, "image_id": i, "area": area,
                    "category_id": int(10 * label + 5), "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": int(crowd),
                })  # fmt: skip
        for j, label in enumerate(answers["detected_label"][i]):
            if label >= 0:
                box = np.clip(answers["detected"][i, j] / scale + start, 0, 400).tolist()
                x0, y0, x1, y1 = box
                found.append({
                    "image_id": i, "category_id": int(10 * label + 5),
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(answers["score"][i, j]),
                })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_random_detections_have_the_numbers_of_pycocotools(
    capfd: pytest.CaptureFixture[str],
) -> None:
    answers = random_answers()
    found = scores(answers, NAMES)
    assert capfd.readouterr() == ("", "")
    reference = by_pycocotools(answers, np.array([2.0, 1.5] * 2), np.array([-8.0, -4.0] * 2))
    expected = [None if value == -1 else value for value in reference.stats]
    assert [found[metric.name] for metric in METRICS[:12]] == expected
    assert 0.1 < found["ap50"] < 0.9
    precision = reference.eval["precision"][:, :, :, 0, -1]
    for name, values in (("per_class_ap", precision), ("per_class_ap50", precision[:1])):
        own = [values[:, :, k].mean() if (values[:, :, k] > -1).any() else None for k in range(4)]
        assert list(found[name].values()) == pytest.approx(own, abs=1e-12)
    assert found["per_class_ap"]["absent"] is found["per_class_voc_ap50"]["absent"] is None
    assert found["precision_recall"]["ap50"]["absent"] is None
    np.testing.assert_allclose(
        found["precision_recall"]["ap50"]["rare"], precision[0, :, 3], atol=5e-5
    )
    np.testing.assert_allclose(
        found["precision_recall"]["ap"]["cell"], precision[..., 0].mean(0), atol=5e-5
    )
    json.dumps(found, allow_nan=False)
    assert scores(answers, NAMES, detailed=False) == {
        name: value
        for name, value in found.items()
        if not name.startswith(("precision_recall", "confusion"))
    }


def test_without_any_object_nothing_is_measured_and_without_detections_nothing_is_found() -> None:
    answers = random_answers(pictures=6)
    nothing = answers | {"detected_label": np.full_like(answers["detected_label"], -1)}
    found = scores(nothing, NAMES)
    assert {found[name] for name in ("ap", "ap50", "ar100", "voc_ap50")} == {0.0}
    matrix = np.array(found["confusion_matrix"])
    assert matrix[:, :-1].sum() == 0 < matrix[:, -1].sum()
    empty = answers | {"boxes_label": np.full_like(answers["boxes_label"], -1)}
    found = scores(empty, ("background", *NAMES[1:]))
    assert {found[metric.name] for metric in METRICS} == {None}
    assert found["per_class_ap"] == dict.fromkeys(("background", *NAMES[1:]))
    assert found["confusion_names"][-1] == "background (no object)"


def of_file(arrays: Any, box: str, crowd: str, area: str | None) -> list[Picture]:
    def parts(kind: str, number: int) -> tuple[Any, np.ndarray, np.ndarray]:
        at = arrays[f"{kind}_image_id"] == number
        corners = np.array(arrays[f"{kind}_{box}"][at])
        if box == "bbox":
            corners[:, 2:] += corners[:, :2]
        return at, corners, np.searchsorted(ids, arrays[f"{kind}_category_id"][at])

    ids, found = arrays["category_ids"], []
    for number in arrays["image_ids"]:
        dt, detected, detected_label = parts("dt", number)
        gt, boxes, label = parts("gt", number)
        areas = np.ones(len(label)) if area is None else arrays[area][gt]
        score, is_crowd = arrays["dt_score"][dt], arrays[crowd][gt].astype(bool)
        found.append(Picture(detected, score, detected_label, boxes, label, is_crowd, areas))
    return found


def test_the_numbers_of_coco_are_those_of_the_reference_arrays(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_coco_eval.npz")
    pictures = of_file(arrays, "bbox", "gt_iscrowd", "gt_area")
    numbers, precision = average_precision.coco(pictures, 4)
    np.testing.assert_allclose(np.float64(numbers), arrays["y_stats"], rtol=1e-9)
    np.testing.assert_allclose(precision[0].T, arrays["y_precision_50"], rtol=1e-9)
    np.testing.assert_allclose(precision.mean(axis=1).T, arrays["y_ap_class_iou"], rtol=1e-9)


def test_voc_counts_the_difficult_neither_as_objects_nor_as_mistakes(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_voc_ap.npz")
    pictures = of_file(arrays, "box", "gt_difficult", None)
    overlaps = [average_precision.iou(p.detected, p.boxes) for p in pictures]
    found = average_precision.voc_ap(pictures, overlaps, 4)
    assert found[3] is None
    np.testing.assert_allclose(np.float64(found[:3]), arrays["y_ap_all"][:3], rtol=1e-9)
    np.testing.assert_allclose(np.mean(np.float64(found[:3])), arrays["y_map_all"], rtol=1e-9)


def test_confusions_pair_the_closest_first_whatever_the_class() -> None:
    objects = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60], [0, 60, 90, 90.0]])
    detected = np.array(
        [
            [0, 0, 10, 8],  # IoU 0.8 with the first
            [0, 0, 10, 9],  # IoU 0.9 with the first, of another class, which is closer
            [20, 0, 25, 10],  # IoU 0.5 exactly
            [50, 50, 60, 54],  # IoU 0.4: too little
            [50, 50, 60, 60],  # too low a score
            [5, 65, 15, 75.0],  # in a crowd
        ]
    )
    score = np.array([0.9, 0.5, 0.3, 0.8, 0.29, 0.9])
    crowd = np.array([False, False, False, True])
    picture = Picture(
        detected, score, np.array([0, 1, 1, 2, 2, 0]), objects, np.array([0, 1, 2, 0]), crowd,
        np.full(4, 100.0),
    )  # fmt: skip
    overlaps = [average_precision.iou(detected, objects)]
    found = average_precision.confusion([picture], overlaps, 3)
    expected = np.zeros((4, 4), int)
    expected[0, 1] = 1  # the closest is of another class
    expected[1, 1] = 1
    expected[2, 3] = 1  # missed
    expected[3, 0] = 1  # the object was taken
    expected[3, 2] = 1  # too far from any
    np.testing.assert_array_equal(found, expected)


def test_boxes_come_back_to_the_stored_picture_as_the_fields_moved_them() -> None:
    placement = Placement((40, 80), (100, 100), -30.0, -5.0, 1.25, 1.5)
    row = Whereabouts(True).load(None, placement)[""]
    assert Whereabouts.placement(row, (100, 100)) == placement
    stored = np.array([[3.0, 4.0, 60.0, 39.0]])
    seen = np.array([[(3 + 5) * 1.5, (4 + 30) * 1.25, (60 + 5) * 1.5, (39 + 30) * 1.25]])
    np.testing.assert_allclose(placement.corners_back(seen), stored)
    padding = np.array([[0.0, 0.0, 500.0, 500.0]])
    np.testing.assert_array_equal(placement.corners_back(padding), [[0, 0, 80, 40]])
