"""Semantic segmentation: the class of every pixel, of pictures with label maps."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.models.heads import WithAuxiliary
from chanattn.runs.metric import Metric
from chanattn.tasks.auxiliary import AUXILIARY
from chanattn.tasks.task import Answers, Task, mean


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """The task `segmentation`.

    Outputs are logits (B, H, W, classes) of the size of the pictures, in training by choice `WithAuxiliary`;
    `label_map` (B, H, W) has negative values where a pixel has no class. Such pixels count nowhere: in no
    loss, no divisor, no metric.

    Attributes:
        label_smoothing: share of the target probability that is spread evenly over all classes.
        auxiliary_weight: of the losses of auxiliary outputs; negative: that of the published head.
        se_loss_weight: weight of the loss on presence logits (EncNet's SE-loss), where there are any.
    """

    label_smoothing: float = 0.0
    auxiliary_weight: float = -1.0
    se_loss_weight: float = 0.2
    fields: ClassVar[tuple[str, ...]] = ("label_map",)
    heads: ClassVar[tuple[str, ...]] = ("fpn", "bisenet", "encnet", "danet", "unet")
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("miou", "mIoU", "%", higher_is_better=True),
        Metric("pixel_accuracy", "pixel accuracy", "%", higher_is_better=True),
        Metric("class_accuracy", "class accuracy", "%", higher_is_better=True),
        Metric("loss", "loss", "nats", higher_is_better=False),
    )
    monitored: ClassVar[tuple[str, ...]] = ("pixel_accuracy",)

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """See `Task.from_config`."""
        return cls(
            label_smoothing=config.label_smoothing,
            auxiliary_weight=config.auxiliary_weight,
            se_loss_weight=config.se_loss_weight,
        )

    def weights(self, batch: Batch) -> dict[str, jax.Array]:
        """The loss is a mean over the pixels of the whole batch that have a class."""
        pixels = known(batch).sum(dtype=jnp.float32)
        weight = jnp.maximum(pixels, 1.0)  # a batch without any has no loss
        return {"loss": weight, AUXILIARY: weight}

    def loss(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """Cross-entropy, added up over the pixels; of auxiliary outputs too, weighted."""
        if not isinstance(outputs, WithAuxiliary):
            return {"loss": self._pixel_loss(outputs, batch)}
        weight = outputs.weight if self.auxiliary_weight < 0 else self.auxiliary_weight
        further = [self._pixel_loss(logits, batch) for logits in outputs.auxiliary.values()]
        return {
            "loss": self._pixel_loss(outputs.logits, batch),
            AUXILIARY: weight * sum(further, jnp.zeros(())),
        }

    def _pixel_loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        return cross_entropy(logits, batch, self.label_smoothing).sum()

    def presence_loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """See `Task.presence_loss`; weighted."""
        return self.se_loss_weight * presence_loss(logits, batch)

    def monitor(self, outputs: Any, batch: Batch) -> dict[str, Pair]:
        """The share of pixels whose largest logit is that of their class."""
        logits = outputs.logits if isinstance(outputs, WithAuxiliary) else outputs
        valid = known(batch)
        right = valid & (jnp.argmax(logits, axis=-1) == batch["label_map"])
        return {"pixel_accuracy": (right.sum(dtype=jnp.float32), valid.sum(dtype=jnp.float32))}

    def measure(self, outputs: jax.Array, batch: Batch) -> dict[str, Any]:
        """The confusion matrix (int32), and the plain cross-entropy with the number of pixels."""
        loss = cross_entropy(outputs, batch).sum(), known(batch).sum(dtype=jnp.float32)
        return {"confusion": confusion(outputs, batch), "loss": loss}

    def results(
        self, totals: dict[str, Any], answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Metrics; with answers also the figures of every class and the confusion matrix."""
        matrix = np.asarray(totals["confusion"])
        found = scores(matrix, class_names)
        per_class = {name: found.pop(name) for name in ("per_class_iou", "per_class_accuracy")}
        found["loss"] = mean(totals["loss"])
        if answers is None:
            return found
        return found | per_class | {"confusion_matrix": matrix.tolist()}


def known(batch: Batch) -> jax.Array:
    """Which pixels of the real examples have a class: (B, H, W) bool."""
    real: jax.Array = batch["mask"][:, None, None] > 0
    return real & (batch["label_map"] >= 0)


def cross_entropy(logits: jax.Array, batch: Batch, label_smoothing: float = 0.0) -> jax.Array:
    """Cross-entropy of every pixel, 0 where it has no class: (B, H, W) float32, in nats.

    With smoothing s and K classes the target is `(1 - s) onehot(label) + s / K`.
    """
    valid = known(batch)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    label = jnp.where(valid, batch["label_map"], 0)
    expected = jnp.take_along_axis(log_p, label[..., None], axis=-1)[..., 0]
    loss = -((1 - label_smoothing) * expected + label_smoothing * log_p.mean(axis=-1))
    return jnp.where(valid, loss, 0.0)


def present(label_map: jax.Array, classes: int) -> jax.Array:
    """Which classes have a pixel in each picture, 1 or 0: (B, H, W), negative for none, -> (B, classes)."""

    def of_one(labels: jax.Array) -> jax.Array:
        somewhere = jnp.where(
            labels < 0, classes, labels
        ).ravel()  # beyond the classes, and dropped
        return jnp.zeros(classes).at[somewhere].set(1.0, mode="drop")

    return jax.vmap(of_one)(label_map)


def presence_loss(logits: jax.Array, batch: Batch) -> jax.Array:
    """Binary cross-entropy of logits (B, classes) with the classes of the pixels, the mean over classes."""
    logits = logits.astype(jnp.float32)
    target = present(batch["label_map"], logits.shape[-1])
    return optax.sigmoid_binary_cross_entropy(logits, target).mean(axis=-1)


def confusion(logits: jax.Array, batch: Batch) -> jax.Array:
    """How many pixels of each class (rows) were taken for each (columns): int32, which counts to 2^31."""
    classes = logits.shape[-1]
    pair = batch["label_map"] * classes + jnp.argmax(logits, axis=-1)
    pair = jnp.where(known(batch), pair, classes**2)  # beyond the matrix, and dropped
    counts = jnp.zeros(classes**2, jnp.int32).at[pair.ravel()].add(1, mode="drop")
    return counts.reshape(classes, classes)


def scores(matrix: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """What a confusion matrix tells, shares of 1; JSON values.

    Of a class with TP pixels found, FN missed and FP taken for it, the IoU is TP / (TP + FP + FN), None where
    there are none; `miou` is the mean over the classes that have one. The accuracy of a class is
    TP / (TP + FN); `class_accuracy` is the mean over the classes that occur.

    Args:
        matrix: (classes, classes) integers, rows are labels.
        class_names: in the order of the rows.
    """
    matrix = np.asarray(matrix, np.int64)
    found, labelled, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    iou = _shares(found, labelled + predicted - found)
    accuracy = _shares(found, labelled)
    return {
        "miou": _mean(iou),
        "pixel_accuracy": _shares(found.sum(keepdims=True), labelled.sum(keepdims=True))[0],
        "class_accuracy": _mean(accuracy),
        "per_class_iou": dict(zip(class_names, iou, strict=True)),
        "per_class_accuracy": dict(zip(class_names, accuracy, strict=True)),
    }


def _shares(some: np.ndarray, of: np.ndarray) -> list[float | None]:
    return [int(a) / int(b) if b else None for a, b in zip(some, of, strict=True)]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
