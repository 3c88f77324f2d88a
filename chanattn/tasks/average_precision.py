"""How good detections are: average precision as COCO and as PASCAL VOC measure it, and confusions of classes.

All of it on the host, with NumPy, in pixels of the pictures as they are stored. A number that has nothing to
measure, as the average precision of a class without objects, is None and is in no mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from chanattn.data.fields import Whereabouts
from chanattn.runs.metric import Metric

METRICS = (
    Metric("ap", "AP", "%", higher_is_better=True),
    Metric("ap50", "AP50", "%", higher_is_better=True),
    Metric("ap75", "AP75", "%", higher_is_better=True),
    Metric("ap_small", "AP, small objects", "%", higher_is_better=True),
    Metric("ap_medium", "AP, medium objects", "%", higher_is_better=True),
    Metric("ap_large", "AP, large objects", "%", higher_is_better=True),
    Metric("ar1", "AR, 1 detection", "%", higher_is_better=True),
    Metric("ar10", "AR, 10 detections", "%", higher_is_better=True),
    Metric("ar100", "AR, 100 detections", "%", higher_is_better=True),
    Metric("ar_small", "AR, small objects", "%", higher_is_better=True),
    Metric("ar_medium", "AR, medium objects", "%", higher_is_better=True),
    Metric("ar_large", "AR, large objects", "%", higher_is_better=True),
    Metric("voc_ap50", "VOC AP50", "%", higher_is_better=True),
)
"""What `scores` gives of every evaluation: COCO's twelve numbers in their order, and that of PASCAL VOC."""

#: Detections with at least this score are told, drawn and counted in the confusion matrix.
SHOWN = 0.3
#: The IoU from which a box stands for an object, where one is asked for.
MATCH = 0.5
BACKGROUND = "background"


class Picture(NamedTuple):
    """Detections and objects of one picture; boxes are x0, y0, x1, y1 in pixels of it as it is stored.

    Attributes:
        detected: (N, 4) float64.
        score: (N,) float64.
        detected_label: (N,) int.
        boxes: (M, 4) float64.
        label: (M,) int.
        crowd: (M,) bool; what lies in such a box is neither right nor wrong.
        area: (M,) float64, of the objects, in pixels.
    """

    detected: np.ndarray
    score: np.ndarray
    detected_label: np.ndarray
    boxes: np.ndarray
    label: np.ndarray
    crowd: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, answer: Mapping[str, np.ndarray]) -> Self:
        """From what `answers` of a detection gave on one example, see `scores`."""
        # Boxes alone come back without the size that the network saw.
        placement = Whereabouts.placement(np.asarray(answer["whereabouts"]), (0, 0))
        found, there = answer["detected_label"] >= 0, answer["boxes_label"] >= 0
        return cls(
            detected=placement.corners_back(answer["detected"][found]),
            score=answer["score"][found].astype(np.float64),
            detected_label=answer["detected_label"][found],
            boxes=placement.corners_back(answer["boxes"][there]),
            label=answer["boxes_label"][there],
            crowd=answer["boxes_crowd"][there].astype(bool),
            area=answer["boxes_area"][there].astype(np.float64),
        )


def scores(
    answers: Mapping[str, np.ndarray], class_names: Sequence[str], *, detailed: bool = True
) -> dict[str, Any]:
    """`METRICS`, and the average precision of every class; JSON values, shares of 1.

    Args:
        answers: of all examples, in pixels of the picture that the network saw: `detected` (N, K, 4),
            `score` and `detected_label` (N, K), -1 in unused rows; `boxes` (N, M, 4), `boxes_label` (N, M),
            -1 where there is none, `boxes_crowd`, `boxes_area` (N, M), in pixels of the stored picture, and
            `whereabouts` (N, 6).
        class_names: in the order of the labels.
        detailed: with the curves of precision against recall and the confusion matrix.

    Returns:
        The metrics by name; `per_class_ap`, `per_class_ap50` and `per_class_voc_ap50` by class; detailed
        also `precision_recall`, see `curves_of`, and `confusion_matrix`, see `confusion`, with the names of
        its rows and its thresholds.
    """
    pictures = [Picture.of(answer) for answer in each(answers)]
    classes = len(class_names)
    numbers, precision = coco(pictures, classes)
    overlaps = [iou(picture.detected, picture.boxes) for picture in pictures]
    voc = voc_ap(pictures, overlaps, classes)
    metrics = dict(zip((m.name for m in METRICS), [*numbers, _mean(voc)], strict=True))
    per_class = {
        "per_class_ap": [_known_mean(precision[:, :, label]) for label in range(classes)],
        "per_class_ap50": [_known_mean(precision[:1, :, label]) for label in range(classes)],
        "per_class_voc_ap50": voc,
    }
    found = metrics | {
        name: dict(zip(class_names, values, strict=True)) for name, values in per_class.items()
    }
    if not detailed:
        return found
    background = BACKGROUND
    while background in class_names:
        background += " (no object)"
    return found | {
        "precision_recall": curves_of(precision, class_names),
        "confusion_matrix": confusion(pictures, overlaps, classes).tolist(),
        "confusion_names": [*class_names, background],
        "confusion_thresholds": {"score": SHOWN, "iou": MATCH},
    }


def each(answers: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The answers of one example after the other."""
    for row in zip(*answers.values(), strict=True):
        yield dict(zip(answers, row, strict=True))


def coco(pictures: Sequence[Picture], classes: int) -> tuple[list[float | None], np.ndarray]:
    """COCO's numbers, by faster-coco-eval, which gives those of pycocotools.

    AP is the mean over the classes with objects, over IoU 0.5, 0.55, ... 0.95 and over 101 recalls of the
    precision at a recall of at least that. Small objects have an area below 32^2 pixels, large ones above
    96^2. Of each picture and class the 100 best detections count. Lin et al., "Microsoft COCO", 2014,
    arXiv:1405.0312, and https://cocodataset.org/#detection-eval.

    Returns:
        The twelve numbers of `METRICS`; and the precision at 10 IoUs, 101 recalls and each class, with
        objects of all sizes: (10, 101, classes), -1 where a class has no object.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # takes a while

    truth, detections = as_coco(pictures, [str(label) for label in range(classes)])
    known = COCO(truth, print_function=_silent)
    evaluation = COCOeval_faster(known, known.loadRes(detections), "bbox", print_function=_silent)
    evaluation.run()
    numbers = [None if value < 0 else float(value) for value in evaluation.stats]
    return numbers, evaluation.eval["precision"][:, :, :, 0, -1]


def as_coco(
    pictures: Sequence[Picture], class_names: Sequence[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and detections in COCO's format: pictures are numbered from 0, categories from 1.

    Returns:
        A dataset of `images` (`id`), `annotations` and `categories`; and a list of results.
    """
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures):
        columns = picture.label, picture.crowd, picture.area, _x_y_w_h(picture.boxes)
        for label, crowd, area, box in zip(*(c.tolist() for c in columns), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # 0 would stand for "not matched"
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
        found = picture.detected_label, picture.score, _x_y_w_h(picture.detected)
        for label, score, box in zip(*(c.tolist() for c in found), strict=True):
            results.append(
                {"image_id": number, "category_id": label + 1, "bbox": box, "score": score}
            )
    truth = {
        "images": [{"id": number} for number in range(len(pictures))],
        "categories": [{"id": n, "name": name} for n, name in enumerate(class_names, start=1)],
        "annotations": annotations,
    }
    return truth, results


def voc_ap(
    pictures: Sequence[Picture], overlaps: Sequence[np.ndarray], classes: int
) -> list[float | None]:
    """The average precision of each class at IoU 0.5 as PASCAL VOC measures it since 2010.

    Detections of a class, the best of all pictures first, are judged by the object of that class with the
    largest IoU: right if it is 0.5 at least and nobody before has found the object, left out if the object is
    a crowd (VOC: difficult), else wrong. The result is the area below the precision, made to fall with the
    recall. Everingham et al., IJCV 2010, section 4.2, and the devkit; but boxes are continuous, where the
    devkit counts pixels.

    Args:
        pictures: of the split.
        overlaps: the IoU of their detections with their objects.
        classes: how many there are.

    Returns:
        None for a class without objects that are no crowds.
    """
    rows = []  # of every detection: class, score, the number of its object, IoU, whether that is a crowd
    objects = 0
    for picture, overlap in zip(pictures, overlaps, strict=True):
        if picture.score.size:
            # Of another class: as if it was not there. One column more, for pictures without objects.
            same = picture.detected_label[:, None] == picture.label
            own = np.pad(np.where(same, overlap, -1.0), ((0, 0), (0, 1)), constant_values=-1.0)
            best = own.argmax(axis=1)
            crowd = np.append(picture.crowd, False)[best]
            columns = picture.detected_label, picture.score, objects + best, own.max(axis=1), crowd
            rows.append(np.stack(columns, axis=1))
        objects += len(picture.label) + 1
    found = np.concatenate(rows) if rows else np.zeros((0, 5))
    found = found[np.argsort(-found[:, 1], kind="stable")]
    plain = [picture.label[~picture.crowd] for picture in pictures]
    counts = np.bincount(np.concatenate([*plain, np.zeros(0, int)]), minlength=classes)
    return [
        _area_below(found[found[:, 0] == label], int(count)) for label, count in enumerate(counts)
    ]


def _area_below(found: np.ndarray, objects: int) -> float | None:
    """Of the detections of one class (rows of `voc_ap`, the best first) and the number of its objects."""
    if not objects:
        return None
    found = found[~((found[:, 3] >= MATCH) & (found[:, 4] > 0))]
    close = np.flatnonzero(found[:, 3] >= MATCH)
    first = np.unique(found[close, 2], return_index=True)[1]
    right = np.zeros(len(found))
    right[close[first]] = 1
    hits = np.cumsum(right)
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float((precision * right).sum() / objects)


def confusion(
    pictures: Sequence[Picture], overlaps: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """How many objects of each class (rows) were detected as each (columns); background is the last of both.

    Detections with a score of `SHOWN` or more are paired with objects whatever the classes, the pair with the
    largest IoU first, down to `MATCH`, none twice. Objects that are left were missed and are in the last
    column; detections that are left stand for background and are in the last row. This is the rule of
    https://github.com/kaanakan/object_detection_confusion_matrix, which YOLOv5 and later ones have adopted,
    with its thresholds. Crowds are no objects, and a detection that is left and lies in one is not counted.

    Returns:
        (classes + 1, classes + 1) int64.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for picture, overlap in zip(pictures, overlaps, strict=True):
        shown = picture.score >= SHOWN
        close = np.where(shown[:, None] & ~picture.crowd, overlap, 0.0)
        rows, columns = np.nonzero(close >= MATCH)
        detected, missed = shown.copy(), ~picture.crowd
        for pair in np.argsort(-close[rows, columns], kind="stable"):
            d, o = rows[pair], columns[pair]
            if detected[d] and missed[o]:
                detected[d] = missed[o] = False
                matrix[picture.label[o], picture.detected_label[d]] += 1
        crowds = picture.boxes[picture.crowd]
        detected &= ~(_inside(picture.detected, crowds) >= MATCH).any(axis=1)
        matrix[:, classes] += np.bincount(picture.label[missed], minlength=classes + 1)
        matrix[classes] += np.bincount(picture.detected_label[detected], minlength=classes + 1)
    return matrix


def curves_of(precision: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Precision against recall; JSON values with four decimals.

    Args:
        precision: as `coco` gives it.
        class_names: in the order of the labels.

    Returns:
        `recall`, 101 values; `ap50`: the precision at IoU 0.5 by class, None for one without objects;
        and `ap`: its mean over the IoUs 0.5 to 0.95.
    """

    def by_class(values: np.ndarray) -> dict[str, list[float] | None]:
        return {
            name: None if (column < 0).all() else column.round(4).tolist()
            for name, column in zip(class_names, values.T, strict=True)
        }

    recall = np.linspace(0, 1, precision.shape[1]).round(4).tolist()
    return {
        "recall": recall,
        "ap50": by_class(precision[0]),
        "ap": by_class(precision.mean(axis=0)),
    }


def iou(detected: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) and (M, 4), 0 without area: (N, M) float64."""
    both, own, theirs = _areas(detected, boxes)
    union = own + theirs - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


def _inside(detected: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The share of the area of boxes (N, 4) that lies in others (M, 4), as COCO asks of crowds: (N, M)."""
    both, own, _ = _areas(detected, boxes)
    return np.where(own > 0, both / np.where(own > 0, own, 1), 0.0)


def _areas(detected: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the intersections (N, M), and of the boxes themselves (N, 1) and (1, M)."""
    a, b = detected[:, None], boxes[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    own, theirs = ((x[..., 2:] - x[..., :2]).prod(axis=-1) for x in (a, b))
    return np.maximum(sides, 0).prod(axis=-1), own, theirs


def _x_y_w_h(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _known_mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _silent(*_: object) -> None:
    """In place of `print`."""
