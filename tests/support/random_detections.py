"""Detections and ground truth of a split as a detection answers; many overlap, and special cases occur."""

from typing import Any

import numpy as np

NAMES = ("cell", "platelet", "absent", "rare")
CLASSES = len(NAMES)


def boxes_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of a few places, so that they overlap; corners are halves, so that IoUs meet thresholds exactly."""
    corner = rng.integers(0, 6, (count, 2)) * 30 + rng.integers(0, 12, (count, 2)) / 2
    side = rng.choice([20.0, 40.0, 100.0], (count, 1)) + rng.integers(0, 20, (count, 2)) / 2
    return np.concatenate([corner, corner + side], axis=1)


def random_answers(pictures: int = 30, most: int = 8, detections: int = 20) -> dict[str, Any]:
    """As a detection gives them, in pixels of pictures that were enlarged and shifted."""
    rng = np.random.default_rng(0)
    boxes = np.stack([boxes_of(rng, most) for _ in range(pictures)])
    label = rng.choice([0, 0, 1, 3, -1], (pictures, most))
    # Every second detection is an object moved by a little, of mostly the right class.
    of = rng.integers(0, most, (pictures, detections))
    detected = np.take_along_axis(boxes, of[..., None], axis=1)
    detected = detected + rng.integers(-8, 9, detected.shape) / 2
    anywhere = np.stack([boxes_of(rng, detections) for _ in range(pictures)])
    detected = np.where(rng.random((pictures, detections, 1)) < 0.5, detected, anywhere)
    own = np.take_along_axis(label, of, axis=1)
    mistaken = (rng.random(own.shape) < 0.3) | (own < 0)
    own = np.where(mistaken, rng.integers(0, CLASSES, own.shape), own)
    score = rng.integers(1, 16, own.shape) / 16  # many are equal
    label[3], own[4], label[5], own[5] = -1, -1, -1, -1  # nothing there, nothing found, neither
    score[own < 0] = 0
    area = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) * rng.uniform(0.5, 1, label.shape)
    boxes[label < 0], detected[own < 0], area[label < 0] = np.nan, np.inf, np.nan
    scale, start = np.array([2.0, 1.5] * 2), np.array([-8.0, -4.0] * 2)  # x, y
    moved = {
        name: ((b - start) * scale).astype(np.float32)
        for name, b in (("boxes", boxes), ("detected", detected))
    }
    return moved | {
        "boxes_label": label.astype(np.int32),
        "boxes_crowd": rng.random(label.shape) < 0.15,
        "boxes_area": area.astype(np.float32),
        "score": score.astype(np.float32),
        "detected_label": own.astype(np.int32),
        "whereabouts": np.tile([400.0, 400.0, -4.0, -8.0, 1.5, 2.0], (pictures, 1)),
        "index": np.arange(pictures),
    }
