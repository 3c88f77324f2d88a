"""Boxes: (..., 4), x0, y0, x1, y1 in pixels, continuous corners. Of NumPy or of JAX."""

from typing import Any

EPSILON = 1e-7  # torchvision's, in what is learnt from: two boxes without area have an overlap of 0


def area(boxes: Any) -> Any:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(one: Any, other: Any, epsilon: float = 0.0) -> Any:
    """Intersection over union of (..., 4) and (..., 4), which are broadcast: (...).

    Two boxes without area have 0 / 0, which is no number, unless `epsilon` is added to the union.
    """
    inside, union = _overlap(one, other)
    return inside / (union + epsilon)


def giou(one: Any, other: Any) -> Any:
    """Generalised IoU: I / U - (E - U) / E, E being the area of the smallest box around both; from -1 to 1.

    Rezatofighi et al. Generalized Intersection over Union. CVPR 2019. arXiv:1902.09630.
    """
    xp = one.__array_namespace__()
    inside, union = _overlap(one, other)
    corner = xp.minimum(one[..., :2], other[..., :2])
    opposite = xp.maximum(one[..., 2:], other[..., 2:])
    around = area(xp.concat([corner, opposite], axis=-1))
    return inside / (union + EPSILON) - (around - union) / (around + EPSILON)


def clip(boxes: Any, extent: Any) -> Any:
    """Boxes (..., 4) cut off at the sides of another one, (4,)."""
    xp = boxes.__array_namespace__()
    corner, opposite = extent[:2], extent[2:]
    least, most = xp.concat([corner, corner]), xp.concat([opposite, opposite])
    return xp.minimum(xp.maximum(boxes, least), most)


def from_distances(points: Any, distances: Any) -> Any:
    """Boxes around points (..., 2), x and y, from the distances to their left, upper, right, lower side."""
    xp = distances.__array_namespace__()
    return xp.concat([points - distances[..., :2], points + distances[..., 2:]], axis=-1)


def to_distances(points: Any, boxes: Any) -> Any:
    """The inverse of `from_distances`; negative where a point lies beyond a side."""
    xp = boxes.__array_namespace__()
    return xp.concat([points - boxes[..., :2], boxes[..., 2:] - points], axis=-1)


def _overlap(one: Any, other: Any) -> tuple[Any, Any]:
    """Areas of the intersection and the union."""
    xp = one.__array_namespace__()
    corner = xp.maximum(one[..., :2], other[..., :2])
    opposite = xp.minimum(one[..., 2:], other[..., 2:])
    sides = xp.maximum(opposite - corner, xp.zeros_like(corner))
    inside = sides[..., 0] * sides[..., 1]
    return inside, area(one) + area(other) - inside
