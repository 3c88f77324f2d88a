"""Classification of whole images: softmax cross-entropy, top-1 and top-5 accuracy.

All of it in float32 whatever the compute type, and only over real examples (`mask` 1). Under mixup and
cutmix a batch carries a second label: `mix_weight` is the weight of `label`, the rest is that of `mix_label`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.labels import labels
from chanattn.runs.metric import Metric
from chanattn.tasks.predictions import Predictions, measures
from chanattn.tasks.task import Answers, Task, log_mean, mean


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """The task `classification`.

    Attributes:
        label_smoothing: share of the target probability that is spread evenly over all classes; in the
            objective only, not in the metrics.
        se_loss_weight: weight of the loss on presence logits (EncNet's SE-loss), where there are any.
    """

    label_smoothing: float = 0.0
    se_loss_weight: float = 0.2
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("top1", "top-1 accuracy", "%", higher_is_better=True),
        Metric("top5", "top-5 accuracy", "%", higher_is_better=True),
        Metric("loss", "loss", "nats", higher_is_better=False),
    )
    details: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "expected_calibration_error",
            "expected calibration error",
            "%",
            higher_is_better=False,
        ),
    )
    monitored: ClassVar[tuple[str, ...]] = ("top1", "top5")

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """See `Task.from_config`."""
        return cls(label_smoothing=config.label_smoothing, se_loss_weight=config.se_loss_weight)

    def loss(self, outputs: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Cross-entropy of logits (B, classes) with label smoothing."""
        values = cross_entropy(outputs, batch, self.label_smoothing)
        return {"loss": masked(values, batch["mask"])[0]}

    def presence_loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """See `Task.presence_loss`; weighted."""
        return self.se_loss_weight * presence_loss(logits, batch)

    def monitor(self, outputs: jax.Array, batch: Batch) -> dict[str, Pair]:
        """Accuracies of logits (B, classes)."""
        values = {"top1": top_k(outputs, batch, 1), "top5": top_k(outputs, batch, 5)}
        return {name: masked(value, batch["mask"]) for name, value in values.items()}

    def measure(self, outputs: jax.Array, batch: Batch) -> dict[str, Pair]:
        """Plain cross-entropy and accuracies of logits (B, classes)."""
        loss = masked(cross_entropy(outputs, batch), batch["mask"])
        return {"loss": loss, **self.monitor(outputs, batch)}

    def mean_of_views(
        self, outputs: Sequence[jax.Array], mirrored: Sequence[bool], size: tuple[int, int]
    ) -> jax.Array:
        """The logarithm of the mean of the probabilities, which are logits too."""
        del mirrored, size
        return log_mean(outputs)

    def answers(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: jax.Array, batch: Batch
    ) -> dict[str, jax.Array]:
        """The columns of `Predictions`."""
        del model, weights
        logits = outputs.astype(jnp.float32)
        return {
            "label": batch["label"],
            "predicted": jnp.argmax(logits, axis=1),
            "confidence": jax.nn.softmax(logits).max(axis=1),
        }

    def predict(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: jax.Array, batch: Batch
    ) -> dict[str, jax.Array]:
        """Softmax of logits (B, classes)."""
        del model, weights, batch
        return {"probability": jax.nn.softmax(outputs.astype(jnp.float32))}

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, float]:
        """Probabilities by the name of the class, the largest first; of equal ones the lower class."""
        probability = answer["probability"]
        best = np.argsort(-probability, kind="stable")[:most]
        return {class_names[label]: float(probability[label]) for label in best}

    def rows(self, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Classes with their probabilities."""
        shown_as = labels(told)
        return [(shown_as[name], f"{share:.2%}") for name, share in told.items()]

    def draw(
        self, example: Mapping[str, np.ndarray], told: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """The picture above bars of the probabilities."""
        from chanattn.tasks.drawing import above_bars  # Matplotlib takes a while

        return {"": above_bars(example["image"], told)}

    def results(
        self, totals: dict[str, Any], answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Metrics; with answers also the calibration error, per-class accuracies and the confusion matrix."""
        found = {name: mean(totals[name]) for name in ("loss", "top1", "top5")}
        if answers is None:
            return found
        return found | measures(Predictions(**answers), class_names)


def presence_loss(logits: jax.Array, batch: Batch) -> jax.Array:
    """Binary cross-entropy of presence logits (B, classes), averaged over the classes: (B,), in nats.

    A picture contains its own class and no other (Zhang et al. 2018, https://arxiv.org/abs/1803.08904,
    section 3.1, where it is every class of a segmentation mask).
    """
    logits = logits.astype(jnp.float32)

    def of(label: jax.Array) -> jax.Array:
        present = jax.nn.one_hot(label, logits.shape[1])
        return optax.sigmoid_binary_cross_entropy(logits, present).mean(axis=1)

    return _weigh(of, batch)


def cross_entropy(logits: jax.Array, batch: Batch, label_smoothing: float = 0.0) -> jax.Array:
    """Per-example cross-entropy of logits (B, classes): (B,) float32, in nats.

    With smoothing s and K classes the target is `(1 - s) onehot(label) + s / K` (Szegedy et al. 2016,
    https://arxiv.org/abs/1512.00567, section 7), which is what PyTorch's `cross_entropy` does.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))

    def at(label: jax.Array) -> jax.Array:
        return jnp.take_along_axis(log_p, label[:, None], axis=1)[:, 0]

    expected = _weigh(at, batch)
    return -((1 - label_smoothing) * expected + label_smoothing * log_p.mean(axis=1))


def top_k(logits: jax.Array, batch: Batch, k: int) -> jax.Array:
    """1 where the label is among the k largest logits (B, classes), else 0: (B,) float32.

    Ties go to the lower class, so that a constant output scores 1 / classes and not 1. With fewer than k
    classes every answer counts as right. Under mixup each of the two labels scores its weight.
    """
    logits = logits.astype(jnp.float32)
    classes = jnp.arange(logits.shape[1])

    def right(label: jax.Array) -> jax.Array:
        own = jnp.take_along_axis(logits, label[:, None], axis=1)
        # Classes in front of the label. Negated, so that a NaN is never right; and counted, not sorted,
        # because a sort would collect the logits of all devices on each.
        ahead = ~(logits <= own) | ((logits == own) & (classes < label[:, None]))
        return (ahead.sum(axis=1) < min(k, logits.shape[1])).astype(jnp.float32)

    return _weigh(right, batch)


def masked(values: jax.Array, mask: jax.Array) -> Pair:
    """(sum of the real values, their number) of values (B,) under a mask (B,).

    A `where`, not a product: padding may hold anything, and 0 * inf is not 0.
    """
    return jnp.where(mask > 0, values, 0.0).sum(), mask.astype(jnp.float32).sum()


def _weigh(score: Callable[[jax.Array], jax.Array], batch: Batch) -> jax.Array:
    """`score(label)`, or under mixup the mean of both labels' scores by their weights."""
    if "mix_label" not in batch:
        return score(batch["label"])
    weight = batch["mix_weight"]
    return weight * score(batch["label"]) + (1 - weight) * score(batch["mix_label"])
