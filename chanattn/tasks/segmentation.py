"""Semantic segmentation: the class of every pixel, of pictures with label maps."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.data.fields import Placement
from chanattn.errors import UsageError
from chanattn.labels import labels
from chanattn.layers.resize import bilinear
from chanattn.models.heads import WithAuxiliary
from chanattn.runs.metric import Metric
from chanattn.tasks.auxiliary import AUXILIARY
from chanattn.tasks.overlap import dice, lovasz_softmax
from chanattn.tasks.task import Answers, Colour, Task, log_mean, mean


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
        class_weights: a key of `WEIGHTINGS`, by which `fitted` weighs the classes in the objective.
        weight_of_class: these weights, in the order of the classes; empty: all weigh the same.
        dice_weight: of the soft Dice loss beside the cross-entropy (`chanattn.tasks.overlap`).
        lovasz_weight: of the Lovász-softmax loss beside the cross-entropy.
    """

    label_smoothing: float = 0.0
    auxiliary_weight: float = -1.0
    se_loss_weight: float = 0.2
    class_weights: str = "none"
    weight_of_class: tuple[float, ...] = ()
    dice_weight: float = 0.0
    lovasz_weight: float = 0.0
    terms: ClassVar[tuple[str, ...]] = ("dice", "lovasz")
    pixelwise: ClassVar[bool] = True
    fields: ClassVar[tuple[str, ...]] = ("label_map",)
    heads: ClassVar[tuple[str, ...]] = ("fpn", "bisenet", "encnet", "danet", "unet")
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("miou", "mIoU", "%", higher_is_better=True),
        Metric("pixel_accuracy", "pixel accuracy", "%", higher_is_better=True),
        Metric("class_accuracy", "class accuracy", "%", higher_is_better=True),
        Metric("loss", "loss", "nats", higher_is_better=False),
    )
    monitored: ClassVar[tuple[str, ...]] = ("pixel_accuracy",)
    table: ClassVar[tuple[str, ...]] = ("class", "share of the pixels")
    placed: ClassVar[bool] = True
    samples: ClassVar[int] = 8

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """See `Task.from_config`."""
        return cls(
            label_smoothing=config.label_smoothing,
            auxiliary_weight=config.auxiliary_weight,
            se_loss_weight=config.se_loss_weight,
            class_weights=config.class_weights,
            dice_weight=config.dice_weight,
            lovasz_weight=config.lovasz_weight,
        )

    def fitted(
        self, annotations: Callable[[], Iterable[Mapping[str, Any]]], class_names: Sequence[str]
    ) -> Self:
        """With the weights of the classes, counted over the label maps of the training split.

        Raises:
            UsageError: A class occurs nowhere, so that it has no weight.
        """
        if self.class_weights == "none":
            return self
        counts = PixelCounts.of((fields["label_map"] for fields in annotations()), class_names)
        weights = WEIGHTINGS[self.class_weights](counts)
        return dataclasses.replace(self, weight_of_class=tuple(float(w) for w in weights))

    def weights(self, batch: Batch) -> dict[str, jax.Array]:
        """The loss is a mean over the pixels of the whole batch that have a class."""
        total = self._weight(batch).sum()
        weight = jnp.where(total > 0, total, 1.0)  # a batch without any has no loss
        pictures = jnp.maximum(known(batch).any(axis=(1, 2)).sum(), 1).astype(jnp.float32)
        return {"loss": weight, AUXILIARY: weight} | dict.fromkeys(self.terms, pictures)

    def active_terms(self) -> tuple[str, ...]:
        """Dice and Lovász-softmax, where they have a weight: means over the pictures with a class."""
        given = {"dice": self.dice_weight, "lovasz": self.lovasz_weight}
        return tuple(name for name, weight in given.items() if weight > 0)

    def loss(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """Cross-entropy, added up over the pixels; of auxiliary outputs too; and of regions; weighted."""
        if not isinstance(outputs, WithAuxiliary):
            return {"loss": self._pixel_loss(outputs, batch)} | self._region_losses(outputs, batch)
        weight = outputs.weight if self.auxiliary_weight < 0 else self.auxiliary_weight
        further = [self._pixel_loss(logits, batch) for logits in outputs.auxiliary.values()]
        return {
            "loss": self._pixel_loss(outputs.logits, batch),
            AUXILIARY: weight * sum(further, jnp.zeros(())),
            **self._region_losses(outputs.logits, batch),
        }

    def _region_losses(self, logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Those of `active_terms`, added up over the pictures."""
        label_map = jnp.where(known(batch), batch["label_map"], -1)
        found = {}
        if self.dice_weight > 0:
            found["dice"] = self.dice_weight * dice(logits, label_map).sum()
        if self.lovasz_weight > 0:
            found["lovasz"] = self.lovasz_weight * lovasz_softmax(logits, label_map).sum()
        return found

    def _pixel_loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """Cross-entropy, added up over the pixels, each by the weight of its class."""
        log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
        weights = jnp.asarray(self.weight_of_class or (1.0,) * log_p.shape[-1])
        label = jnp.where(known(batch), batch["label_map"], 0)
        expected = jnp.take_along_axis(log_p, label[..., None], axis=-1)[..., 0] * weights[label]
        smooth = (log_p * weights).mean(axis=-1)
        loss = (1 - self.label_smoothing) * expected + self.label_smoothing * smooth
        return -jnp.where(known(batch), loss, 0.0).sum()

    def _weight(self, batch: Batch) -> jax.Array:
        """Of every pixel in the objective: (B, H, W)."""
        valid = known(batch)
        if not self.weight_of_class:
            return valid.astype(jnp.float32)
        label = jnp.where(valid, batch["label_map"], 0)
        return jnp.where(valid, jnp.asarray(self.weight_of_class)[label], 0.0)

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
        """The confusion matrix, the plain cross-entropy with the number of pixels, and void pictures."""
        valid = known(batch)
        loss = cross_entropy(outputs, batch).sum(), valid.sum(dtype=jnp.float32)
        void = (batch["mask"] > 0) & ~valid.any(axis=(1, 2))
        return {
            "confusion": confusion(outputs, batch),
            "loss": loss,
            "void": void.sum(dtype=jnp.int32),
        }

    def mean_of_views(
        self, outputs: Sequence[jax.Array], mirrored: Sequence[bool], size: tuple[int, int]
    ) -> jax.Array:
        """The logarithm of the mean of the probabilities; logits are brought to the size before that."""
        sized = [bilinear(each.astype(jnp.float32), size) for each in outputs]
        pairs = zip(sized, mirrored, strict=True)
        return log_mean([each[:, :, ::-1] if flipped else each for each, flipped in pairs])

    def predict(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: jax.Array, batch: Batch
    ) -> dict[str, jax.Array]:
        """The logits (B, H, W, classes): classes are compared at the size of the stored picture."""
        del model, weights, batch
        return {"logits": outputs.astype(jnp.float32)}

    def at_stored_size(self, answer: Answers, placement: Placement) -> Answers:
        """`label_map` (H, W): the class of the largest logit, brought back before they are compared.

        One class after the other, so that a photograph with many classes fits into memory.
        """
        logits = answer["logits"]
        classes = logits.shape[-1]
        label_map = np.zeros(placement.stored, np.min_scalar_type(classes - 1))
        largest = placement.back(logits[..., 0])
        for label in range(1, classes):
            values = placement.back(logits[..., label])
            larger = values > largest  # of equal ones the lower class, as in `confusion`
            label_map[larger], largest[larger] = label, values[larger]
        return {"label_map": label_map}

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, Any]:
        """`label_map` (H, W), unsigned integers; `shares` of the pixels by class, the largest first."""
        label_map = answer["label_map"]
        counts = np.bincount(label_map.ravel(), minlength=len(class_names))
        best = np.argsort(-counts, kind="stable")[:most]
        shares = {class_names[label]: int(counts[label]) / label_map.size for label in best}
        return {"label_map": label_map, "shares": shares}

    def rows(self, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Classes that occur, with their shares of the pixels."""
        shown_as = labels(told["shares"])
        found = told["shares"].items()
        return [(shown_as[name], f"{share:.2%}") for name, share in found if share]

    def draw(
        self, example: Mapping[str, np.ndarray], told: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """The picture, its label where that is known, and the prediction; the classes as colours over it."""
        from chanattn.tasks import label_maps

        picture = example["image"]
        found = {"picture": label_maps.seen(picture)}
        if "label_map" in example:
            found["label"] = label_maps.overlay(picture, example["label_map"])
        return found | {"prediction": label_maps.overlay(picture, told["label_map"])}

    def legend(self, class_names: tuple[str, ...]) -> dict[str, Colour]:
        """The colour of each class; pixels without one are hatched."""
        from chanattn.tasks import label_maps

        colours = label_maps.palette(len(class_names)).tolist()
        found: dict[str, Colour] = dict(zip(class_names, map(tuple, colours), strict=True))
        return found | {label_maps.NO_CLASS: None}

    def files(self, told: Mapping[str, Any]) -> dict[str, bytes]:
        """The label map: class numbers, with the colours of the legend as palette."""
        from chanattn.tasks import label_maps

        return {".labels.png": label_maps.encoded(told["label_map"])}

    def results(
        self, totals: dict[str, Any], answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Metrics, and the figures of every class; with answers also the confusion matrix.

        And `void_pictures`, how many have no pixel with a class: they are in no metric.
        """
        matrix = np.asarray(totals["confusion"])
        found = scores(matrix, class_names) | {"loss": mean(totals["loss"])}
        if answers is None:
            return found
        return found | {"confusion_matrix": matrix.tolist(), "void_pictures": int(totals["void"])}


def known(batch: Batch) -> jax.Array:
    """Which pixels of the real examples have a class: (B, H, W) bool."""
    real: jax.Array = batch["mask"][:, None, None] > 0
    return real & (batch["label_map"] >= 0)


@dataclasses.dataclass(frozen=True)
class PixelCounts:
    """Pixels of a split.

    Attributes:
        own: of each class, (classes,) int64.
        around: in the pictures that contain the class, those without a class included.
        total: in all pictures.
    """

    own: np.ndarray
    around: np.ndarray
    total: int

    @classmethod
    def of(cls, label_maps: Iterable[np.ndarray], class_names: Sequence[str]) -> Self:
        """Counted over label maps (H, W); other values than the classes are pixels without one.

        Raises:
            UsageError: A class occurs nowhere.
        """
        classes = len(class_names)
        own, around, total = np.zeros(classes, np.int64), np.zeros(classes, np.int64), 0
        for label_map in label_maps:
            inside = label_map[(label_map >= 0) & (label_map < classes)]
            counts = np.bincount(inside.ravel().astype(np.int64), minlength=classes)
            own += counts
            around += label_map.size * (counts > 0)
            total += label_map.size
        if not own.all():
            absent = int(np.argmin(own > 0))
            raise UsageError(
                f"class {class_names[absent]!r} (number {absent}) has no pixel in the training split, so"
                " task.class_weights cannot weigh it: set it to none, or take another split"
            )
        return cls(own, around, total)


def median_frequency(counts: PixelCounts) -> np.ndarray:
    """The median of f over f, f being the share of a class in the pictures that contain it.

    Eigen and Fergus, ICCV 2015, arXiv:1411.4734, section 6.3.2.
    """
    frequency = counts.own / counts.around
    return np.median(frequency) / frequency


def enet(counts: PixelCounts) -> np.ndarray:
    """1 / ln(1.02 + p), p being the share of a class. Paszke et al. 2016, arXiv:1606.02147, section 5."""
    return 1 / np.log(1.02 + counts.own / counts.total)


WEIGHTINGS: dict[str, Callable[[PixelCounts], np.ndarray]] = {
    "median_frequency": median_frequency,
    "sqrt_median": lambda counts: np.sqrt(median_frequency(counts)),
    "enet": enet,
}


def cross_entropy(logits: jax.Array, batch: Batch) -> jax.Array:
    """Cross-entropy of every pixel, 0 where it has no class: (B, H, W) float32, in nats."""
    valid = known(batch)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    label = jnp.where(valid, batch["label_map"], 0)
    expected = jnp.take_along_axis(log_p, label[..., None], axis=-1)[..., 0]
    return jnp.where(valid, -expected, 0.0)


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
