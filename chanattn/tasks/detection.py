"""Detection: the objects of a picture, each a class and a box; by FCOS (`chanattn.models.heads.fcos`)."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.data.fields import PLACE, Placement
from chanattn.errors import UsageError
from chanattn.models.heads import Levels
from chanattn.runs.metric import Metric
from chanattn.tasks import average_precision, boxes, found_objects
from chanattn.tasks.assignment import UNKNOWN, Grid, Objects, assign, centerness
from chanattn.tasks.nms import NONE, Detections, best_of, select
from chanattn.tasks.task import Answers, Colour, Task

ALPHA, GAMMA = 0.25, 2.0
#: Least probability of a class, or least score (torchvision), of a detection.
SCORE_THRESHOLDS = {"fcos": 0.05, "torchvision": 0.2}


@dataclasses.dataclass(frozen=True)
class Detection(Task):
    """The task `detection`.

    Outputs are `Levels`. Three terms of the loss, each a sum over the locations of all levels: focal loss of
    the classes, GIoU loss of the boxes of positive locations, cross-entropy of their centre-ness. The first
    and the last are divided by the number of positives of the batch.

    Attributes:
        preset: "fcos", the authors' code, or "torchvision": see docs/detection.md for what differs.
        strides: Of the levels of the pyramid.
        ranges: The limits between the levels: the distance of the farthest side of an object in pixels.
        radius: How far from the centre of an object its positives are, in strides; 0: as far as its box.
        tower: Convolutions in each of the head's two towers.
        norm_groups: Of the group norms of these.
        score_threshold: Of detections; negative: that of the preset.
        nms_threshold: IoU above which two detections of a class are one.
        candidates: Detections of a level that are compared with each other, the best.
        detections: What is left of these in the end, at most.
        se_loss_weight: weight of the loss on presence logits (EncNet's SE-loss), where there are any.
    """

    preset: str = "fcos"
    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    ranges: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)
    radius: float = 1.5
    tower: int = 4
    norm_groups: int = 32
    score_threshold: float = -1.0
    nms_threshold: float = 0.6
    candidates: int = 1000
    detections: int = 100
    se_loss_weight: float = 0.2
    terms: ClassVar[tuple[str, ...]] = ("classification", "box", "centerness")
    fields: ClassVar[tuple[str, ...]] = ("boxes",)
    heads: ClassVar[tuple[str, ...]] = ("fcos",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        *average_precision.METRICS[:3],
        Metric("loss", "loss", "", higher_is_better=False),
    )
    details: ClassVar[tuple[Metric, ...]] = average_precision.METRICS[3:]
    monitored: ClassVar[tuple[str, ...]] = ("iou",)
    measured_from_answers: ClassVar[bool] = True
    scored_as_stored: ClassVar[bool] = True
    table: ClassVar[tuple[str, ...]] = found_objects.TABLE
    placed: ClassVar[bool] = True
    samples: ClassVar[int] = 8
    sample_side: ClassVar[int] = found_objects.LEAST_SIDE
    most_told: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if len(self.ranges) != len(self.strides) - 1:
            published = tuple(8 * stride for stride in self.strides[:-1])
            raise UsageError(
                f"task.ranges are the limits between levels, one fewer than task.strides, not {self.ranges}"
                f" for {self.strides}; published ones for these are {published}"
            )
        if any(low >= high for low, high in itertools.pairwise(self.ranges)):
            raise UsageError(f"task.ranges must rise from level to level, not {self.ranges}")

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """See `Task.from_config`."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: config[name] for name in names})

    def head_options(self) -> dict[str, Any]:
        """The levels, the towers and the preset of the head `fcos`."""
        return {
            "levels": tuple(self.strides),
            "tower": self.tower,
            "norm_groups": self.norm_groups,
            "preset": self.preset,
        }

    def targets(self, batch: Batch) -> Batch:
        """With `location_label` (B, P) int32 and `location_distances` (B, P, 4), see `assign`.

        In padding all labels are `UNKNOWN`.
        """
        grid, closed = self._grid(batch), self.preset == "fcos"

        def of_one(*objects: jax.Array) -> tuple[jax.Array, jax.Array]:
            return assign(Objects(*objects), grid, radius=self.radius, closed=closed)

        label, distances = jax.vmap(of_one)(
            batch["boxes"], batch["boxes_label"], batch["boxes_crowd"]
        )
        real = batch["mask"][:, None] > 0
        return batch | {
            "location_label": jnp.where(real, label, UNKNOWN),
            "location_distances": jnp.where(real[..., None], distances, 0.0),
        }

    def _grid(self, batch: Batch) -> Grid:
        height, width = batch["image"].shape[1:3]
        centered = self.preset == "fcos"
        return Grid.of((height, width), self.strides, self.ranges, centered=centered)

    def weights(self, batch: Batch) -> dict[str, jax.Array]:
        """The positives of the whole batch, at least 1; of boxes their centre-ness, as these are weighted."""
        counts = self._counts(batch)
        return {name: jnp.where(count > 0, count, 1.0) for name, count in counts.items()}

    def _counts(self, batch: Batch) -> dict[str, jax.Array]:
        """What weighs in each term of the loss; 0 in a batch without positives."""
        positive = (batch["location_label"] >= 0).sum(dtype=jnp.float32)
        return {
            "classification": positive,
            "box": self._weight(batch).sum(),
            "centerness": positive,
        }

    def _weight(self, batch: Batch) -> jax.Array:
        """Of every location in the loss of boxes: (B, P)."""
        positive = batch["location_label"] >= 0
        if self.preset == "torchvision":
            return positive.astype(jnp.float32)
        return jnp.where(positive, centerness(batch["location_distances"]), 0.0)

    def loss(self, outputs: Levels, batch: Batch) -> dict[str, jax.Array]:
        """The three terms, added up over the locations; `batch` is one of `targets`."""
        label, wanted = batch["location_label"], batch["location_distances"]
        known, positive = (label != UNKNOWN)[..., None], label >= 0
        logits = jnp.where(known, joined(outputs.logits), 0.0)
        classes = focal(logits, jax.nn.one_hot(label, logits.shape[-1]))
        found = jnp.where(positive[..., None], joined(outputs.distances), 1.0)
        overlap = boxes.giou(_around(found), _around(wanted))
        central = jnp.where(positive, joined(outputs.centerness)[..., 0], 0.0)
        centre = optax.sigmoid_binary_cross_entropy(central, centerness(wanted))
        return {
            "classification": jnp.where(known, classes, 0.0).sum(),
            "box": jnp.where(positive, self._weight(batch) * (1 - overlap), 0.0).sum(),
            "centerness": jnp.where(positive, centre, 0.0).sum(),
        }

    def presence_loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """Of the classes that have a box in the picture; weighted."""
        target = jax.nn.one_hot(batch["boxes_label"], logits.shape[-1]).max(axis=1)
        loss = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), target)
        return self.se_loss_weight * loss.mean(axis=-1)

    def monitor(self, outputs: Levels, batch: Batch) -> dict[str, Pair]:
        """The mean IoU of the boxes of positive locations with what they shall be."""
        positive = batch["location_label"] >= 0
        found = jnp.where(positive[..., None], joined(outputs.distances), 1.0)
        wanted = _around(batch["location_distances"])
        overlap = boxes.iou(_around(found), wanted, boxes.EPSILON)
        total = jnp.where(positive, overlap, 0.0).sum()
        return {"iou": (total, positive.sum(dtype=jnp.float32))}

    def measure(self, outputs: Levels, batch: Batch) -> dict[str, Pair]:
        """The terms of the loss with what they are divided by."""
        batch = self.targets(batch)
        counts = self._counts(batch)
        return {name: (total, counts[name]) for name, total in self.loss(outputs, batch).items()}

    def answers(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Levels, batch: Batch
    ) -> dict[str, jax.Array]:
        """What `predict` gives, and what is known of the pictures."""
        known = [*ANNOTATIONS, "whereabouts", "index"]
        return self.predict(model, weights, outputs, batch) | {
            name: batch[name] for name in known if name in batch
        }

    def predict(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Levels, batch: Batch
    ) -> dict[str, jax.Array]:
        """The best detections, the best first, in pixels of the pictures that the network saw.

        `detected` (B, K, 4), `score` (B, K) and `detected_label` (B, K) int32 with K = `detections`; in rows
        without a detection the score is 0 and the label -1. They are cut off at the borders of the stored
        picture, where the batch says where that lies, and then compared with each other: what lies in the
        padding is no part of a box.
        """
        del model, weights
        grid = self._grid(batch)
        found = jax.vmap(lambda levels, extent: self.detect(levels, grid, extent))(
            outputs, _extents(batch)
        )
        return {"detected": found.boxes, "score": found.score, "detected_label": found.label}

    def detect(self, levels: Levels, grid: Grid, extent: jax.Array) -> Detections:
        """The best detections of one picture; outputs are without the first dimension.

        Args:
            levels: Outputs of the network.
            grid: The locations.
            extent: The box (4,) at whose sides those that are found are cut off.
        """
        candidates, start = [], 0
        for logits, distances, centre in zip(
            levels.logits, levels.distances, levels.centerness, strict=True
        ):
            classes = logits.shape[-1]
            logits = logits.reshape(-1, classes)
            points = grid.points[start : start + len(logits)]
            start += len(logits)
            score = self._score(logits, centre.reshape(-1, 1))
            score, place = best_of(score.ravel(), self.candidates)
            location, label = place // classes, place % classes
            around = jnp.asarray(points)[location], distances.reshape(-1, 4)[location]
            candidates.append((boxes.from_distances(*around), score, label))
        corners, score, label = map(jnp.concatenate, zip(*candidates, strict=True))
        corners = boxes.clip(corners, extent)
        score = jnp.where(boxes.area(corners) > 0, score, NONE)
        return select(corners, score, label, threshold=self.nms_threshold, most=self.detections)

    def _score(self, logits: jax.Array, centre: jax.Array) -> jax.Array:
        """sqrt(p * centre-ness), or `NONE` where there is no detection: (P, classes)."""
        probability = jax.nn.sigmoid(logits)
        score = jnp.sqrt(probability * jax.nn.sigmoid(centre))
        least = self.score_threshold
        least = SCORE_THRESHOLDS[self.preset] if least < 0 else least
        compared = probability if self.preset == "fcos" else score
        return jnp.where(compared > least, score, NONE)

    def results(
        self, totals: dict[str, Pair], answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """The metrics of COCO and PASCAL VOC, in all and by class, curves and confusions; the loss.

        Without answers, the loss alone.
        """
        terms = (float(total) / (float(count) or 1.0) for total, count in totals.values())
        found: dict[str, Any] = {metric.name: None for metric in (*self.metrics, *self.details)}
        if answers is not None:
            found |= average_precision.scores(answers, class_names)
        return found | {"loss": sum(terms)}

    def at_stored_size(self, answer: Answers, placement: Placement) -> Answers:
        """`detected` in pixels of the stored picture."""
        return found_objects.at_stored_size(answer, placement)

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, Any]:
        """`objects`, each a class, a score and a box; and the arrays of the answer."""
        return found_objects.told(answer, class_names, most)

    def rows(self, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The objects, the best first."""
        return found_objects.rows(told)

    def draw(
        self, example: Mapping[str, np.ndarray], told: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """The ground truth, where it is known, and the objects found, as boxes on the picture."""
        return found_objects.draw(example, told)

    def legend(self, class_names: tuple[str, ...]) -> dict[str, Colour]:
        """The colour of each class."""
        return found_objects.legend(class_names)

    def exports(
        self, found: Iterable[tuple[str, Mapping[str, Any]]], class_names: tuple[str, ...]
    ) -> dict[str, bytes]:
        """All detections in COCO's format, and in an evaluation the ground truth."""
        return found_objects.exported(found, class_names)


#: What a batch knows of the objects of its pictures.
ANNOTATIONS = ("boxes", "boxes_label", "boxes_crowd", "boxes_area")


def _extents(batch: Batch) -> jax.Array:
    """Where the stored pictures lie in those that the network sees, as boxes: (B, 4)."""
    count, height, width, _ = batch["image"].shape
    whole = jnp.tile(jnp.asarray([0, 0, width, height], jnp.float32), (count, 1))
    if PLACE not in batch:
        return whole
    rows, columns, top, left, scale_y, scale_x = jnp.asarray(batch[PLACE], jnp.float32).T
    sides = -left * scale_x, -top * scale_y, (columns - left) * scale_x, (rows - top) * scale_y
    return jax.vmap(boxes.clip)(jnp.stack(sides, axis=-1), whole)


def joined(levels: tuple[jax.Array, ...]) -> jax.Array:
    """What the locations of all levels say: (B, h, w, C) each -> (B, P, C), in the order of a `Grid`."""
    return jnp.concatenate([x.reshape(len(x), -1, x.shape[-1]) for x in levels], axis=1)


def _around(distances: jax.Array) -> jax.Array:
    """Boxes as their location sees them, which is all that overlaps ask for."""
    return boxes.from_distances(jnp.zeros(2), distances)


def focal(
    logits: jax.Array, target: jax.Array, alpha: float = ALPHA, gamma: float = GAMMA
) -> jax.Array:
    """-alpha_t (1 - p_t)^gamma ln p_t of every logit; p_t is the probability of what is right.

    Lin, Goyal, Girshick, He, Dollar. Focal Loss for Dense Object Detection. ICCV 2017. arXiv:1708.02002.

    Args:
        logits: Any shape.
        target: 1 or 0, of that shape.
        alpha: Weight of the targets 1, 1 - alpha being that of the others; negative: all weigh 1.
        gamma: How much less weighs what is told well already.
    """
    logits = logits.astype(jnp.float32)
    loss = optax.sigmoid_binary_cross_entropy(logits, target)
    if gamma:
        loss *= jax.nn.sigmoid(logits * (1 - 2 * target)) ** gamma
    if alpha >= 0:
        loss *= alpha * target + (1 - alpha) * (1 - target)
    return loss
