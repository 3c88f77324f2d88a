"""The best detections of a picture that are not the same object twice: programs of fixed shape."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from chanattn.tasks import boxes

NONE = -jnp.inf  # the score of a candidate that is none


class Detections(NamedTuple):
    """Detections of a picture, the best first.

    Attributes:
        boxes: (K, 4), 0 where there is none.
        score: (K,), 0 where there is none.
        label: (K,) int32, -1 where there is none.
    """

    boxes: jax.Array
    score: jax.Array
    label: jax.Array


def suppress(
    corners: jax.Array, score: jax.Array, label: jax.Array, *, threshold: float, most: int
) -> jax.Array:
    """Greedy suppression among boxes of one class: the kept ones, the best first.

    Takes the best that is left, and leaves out those of its class whose IoU with it is larger than
    `threshold`, `most` times. What torchvision's `batched_nms` keeps, cut off there; but no pair of boxes is
    compared that need not be, so time and memory are those of `most` rows of the matrix of their IoU.

    Args:
        corners: (N, 4).
        score: (N,), `NONE` (or no number) of what is none. Of equal ones the first is the best.
        label: (N,).
        threshold: Of the IoU; boxes without area have none, and are kept.
        most: How many to keep.

    Returns:
        (most,) int32 indices, -1 behind the last.
    """

    def take(i: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        left, kept = state
        best = jnp.argmax(left)
        there = left[best] > NONE
        same = (label == label[best]) & (boxes.iou(corners, corners[best]) > threshold)
        gone = same | (jnp.arange(len(left)) == best)
        return jnp.where(gone, NONE, left), kept.at[i].set(jnp.where(there, best, -1))

    start = jnp.where(score > NONE, score, NONE), jnp.full(most, -1, jnp.int32)
    return jax.lax.fori_loop(0, most, take, start)[1]


def best_of(score: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """The largest of scores (n,), and where they are, at most `most`; of equal ones the first."""
    return jax.lax.top_k(score, min(most, len(score)))


def select(
    corners: jax.Array, score: jax.Array, label: jax.Array, *, threshold: float, most: int
) -> Detections:
    """What `suppress` keeps of candidates."""
    kept = suppress(corners, score, label, threshold=threshold, most=most)
    there = kept >= 0
    return Detections(
        jnp.where(there[:, None], corners[kept], 0.0),
        jnp.where(there, score[kept], 0.0),
        jnp.where(there, label[kept], -1).astype(jnp.int32),
    )
