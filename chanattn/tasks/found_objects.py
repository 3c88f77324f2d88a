"""Detections for people and for other programs: told, as a table, as boxes on pictures, as JSON of COCO."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from chanattn.data.fields import Placement
from chanattn.labels import IN_PICTURES, font, labels, one_line
from chanattn.tasks.average_precision import SHOWN, Picture, as_coco
from chanattn.tasks.label_maps import palette, seen
from chanattn.tasks.task import Answers, Colour

#: Headings of `rows`.
TABLE = ("class", "score", "box (x0, y0, x1, y1)")
#: Pixels of the longer side of a drawing at least, so that there is room for names.
LEAST_SIDE = 512
_FONT = 11, 24  # pixels of the letters, on small drawings and on large ones
_DASH = 7  # pixels


def at_stored_size(answer: Answers, placement: Placement) -> dict[str, np.ndarray]:
    """Detections of one picture, (K, ...), in pixels of it as it is stored; see `Task.at_stored_size`."""
    return {**answer, "detected": placement.corners_back(answer["detected"])}


def told(answer: Answers, class_names: Sequence[str], most: int | None = None) -> dict[str, Any]:
    """What was detected on one picture, the best first; see `Task.told`.

    Args:
        answer: `detected` (K, 4), x0, y0, x1, y1 in pixels of the stored picture, `score` and
            `detected_label` (K,), -1 in unused rows, which come last.
        class_names: in the order of the labels.
        most: how many objects to tell; None: all with a score of `SHOWN` or more.

    Returns:
        `objects`: class, score and box of each, rounded; and arrays: those of the answer, with all
        detections however unsure, and the `class_names`.
    """
    shown = (answer["detected_label"] >= 0) & (answer["score"] >= SHOWN)
    objects = [
        {
            "class": class_names[answer["detected_label"][row]],
            "score": round(float(answer["score"][row]), 4),
            "box": [round(float(corner), 1) for corner in answer["detected"][row]],
        }
        for row in np.flatnonzero(shown)[:most]
    ]
    return {"objects": objects, **answer, "class_names": np.array(class_names)}


def rows(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The objects as rows of a table with the headings `TABLE`."""
    found: list[tuple[str, ...]] = [
        (one_line(o["class"]), f"{o['score']:.2f}", " ".join(f"{x:.0f}" for x in o["box"]))
        for o in told["objects"]
    ]
    return found or [("nothing", "", "")]


def draw(example: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The ground truth where it is known, and what is told, as boxes on the picture; see `Task.draw`."""
    picture, names = example["image"], labels(told["class_names"].tolist(), IN_PICTURES)
    by_label = [names[name] for name in told["class_names"].tolist()]
    drawn = {}
    if "boxes" in example:
        columns = (example[f"boxes{suffix}"] for suffix in ("", "_label", "_crowd"))
        drawn["ground truth"] = _with_boxes(
            picture,
            [
                _Box(box, int(label), by_label[label] + " (crowd)" * bool(crowd), bool(crowd))
                for box, label, crowd in zip(*columns, strict=True)
                if label >= 0
            ],
        )
    count = len(told["objects"])
    columns = (told[name][:count] for name in ("detected", "detected_label", "score"))
    found = [
        _Box(box, int(label), f"{by_label[label]} {score:.2f}")
        for box, label, score in zip(*columns, strict=True)
    ]
    return drawn | {"prediction": _with_boxes(picture, found[::-1])}  # the best on top


def legend(class_names: Sequence[str]) -> dict[str, Colour]:
    """The colour of each class; see `Task.legend`."""
    colours = map(tuple, palette(len(class_names)).tolist())
    return dict(zip(class_names, colours, strict=True))


def exported(
    found: Iterable[tuple[str, Mapping[str, Any]]], class_names: Sequence[str]
) -> dict[str, bytes]:
    """Detections in COCO's JSON, however unsure they are; see `Task.exports`.

    Args:
        found: name of each picture, with what `answers` gave on it, or what `told` gave.
        class_names: in the order of the labels.

    Returns:
        `.detections.json`, a list of results (`image_id`, `file_name`, `category_id`, `bbox` as x, y, width,
        height, `score`), which pycocotools and others read; pictures are numbered from 0, categories
        from 1. Where the answers are those of an evaluation also `.ground_truth.json`, to measure them by.
    """
    pictures, images, known = [], [], False
    for number, (name, answer) in enumerate(found):
        image: dict[str, Any] = {"id": number, "file_name": name}
        known = "whereabouts" in answer
        if known:
            height, width = answer["whereabouts"][:2].tolist()
            image |= {"width": int(width), "height": int(height)}
        images.append(image)
        pictures.append(Picture.of(answer) if known else _without_objects(answer))
    truth, results = as_coco(pictures, class_names)
    for result in results:
        result["file_name"] = images[result["image_id"]]["file_name"]
        result["score"] = float(f"{result['score']:.9g}")  # a float32, no more
    for box in (entry["bbox"] for entry in (*results, *truth["annotations"])):
        box[:] = [round(value, 3) for value in box]
    files = {".detections.json": _json(results)}
    return files | {".ground_truth.json": _json(truth | {"images": images})} if known else files


def _without_objects(answer: Mapping[str, Any]) -> Picture:
    found = answer["detected_label"] >= 0
    nothing = np.zeros(0)
    return Picture(
        detected=np.asarray(answer["detected"][found], np.float64),
        score=np.asarray(answer["score"][found], np.float64),
        detected_label=answer["detected_label"][found],
        boxes=np.zeros((0, 4)),
        label=nothing.astype(int),
        crowd=nothing.astype(bool),
        area=nothing,
    )


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


class _Box(NamedTuple):
    """In pixels of the stored picture, with the number of its class and a text above it."""

    corners: np.ndarray
    label: int
    text: str
    dashed: bool = False


def _with_boxes(picture: np.ndarray, boxes: Sequence[_Box]) -> np.ndarray:
    """Boxes on a picture (H, W, 3) uint8 at a size at which their texts can be read."""
    canvas = seen(picture, LEAST_SIDE).copy()
    height, width = canvas.shape[:2]
    scale = np.array([width / picture.shape[1], height / picture.shape[0]] * 2)
    thick = max(2, max(height, width) // 300)
    tags = []
    for box in boxes:
        colour = tuple(palette(box.label + 1)[box.label].tolist())
        corners = np.rint(box.corners * scale).astype(int)
        x0, y0, x1, y1 = np.clip(corners, 0, [width - 1, height - 1] * 2).tolist()
        for line, dark in ((thick + 2, True), (thick, False)):  # dark edges, for bright pictures
            for start, end in _lines(x0, y0, x1, y1, box.dashed):
                cv2.line(canvas, start, end, (0, 0, 0) if dark else colour, line)
        tags.append((x0, y0, box.text, colour))
    return _tagged(canvas, tags)


def _lines(
    x0: int, y0: int, x1: int, y1: int, dashed: bool
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The sides of a box, whole or in dashes."""
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    for a, b in itertools.pairwise(corners):
        if not dashed:
            yield a, b
            continue
        length = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        direction = (b[0] - a[0]) / length, (b[1] - a[1]) / length
        for start in range(0, length, 2 * _DASH):
            ends = (start, min(start + _DASH, length))
            first, last = (
                (round(a[0] + direction[0] * at), round(a[1] + direction[1] * at)) for at in ends
            )
            yield first, last


def _tagged(
    canvas: np.ndarray, tags: Sequence[tuple[int, int, str, tuple[int, ...]]]
) -> np.ndarray:
    """Texts on the colours of their classes, above the corners of their boxes where there is room."""
    height, width = canvas.shape[:2]
    letters = font(min(max(max(height, width) // 45, _FONT[0]), _FONT[1]))
    image = Image.fromarray(canvas)
    brush = ImageDraw.Draw(image)
    for x, y, text, colour in tags:
        left, top, right, bottom = brush.textbbox((0, 0), text, font=letters)
        wide, high = int(right - left) + 4, int(bottom - top) + 4
        x = max(0, min(x, width - wide))
        y = y - high if y >= high else min(y, height - high)
        brush.rectangle((x, y, x + wide, y + high), fill=colour)
        bright = np.dot(colour, (0.299, 0.587, 0.114)) > 128
        brush.text((x + 2 - left, y + 2 - top), text, "black" if bright else "white", letters)
    return np.array(image)
