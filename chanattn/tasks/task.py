"""What a task is: it turns outputs of a network and a batch into a loss, and into metrics.

Arrays of a batch have the examples as their first dimension, and padding may hold anything: what is summed is
summed under the batch's `mask` (1 for real examples), by `where` and not by a product: 0 * inf is not 0.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.errors import UsageError
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.metric import Metric
from chanattn.tasks import auxiliary

#: What is reported of every training step, whatever is learnt.
STEP_METRICS = ("learning_rate", "grad_norm", "param_norm")
#: Names that metrics cannot have, because lines of metrics and evaluations have them for something else.
RESERVED = {
    *("step", "split", "time", "epoch", "format", "json", "picture"),
    *("skipped_steps", "rollbacks", "steps_per_second", "images_per_second"),
    *(field.name for field in dataclasses.fields(Evaluation)),
}
#: What a network answered on every example, by name; on the host, padding left out.
Answers = Mapping[str, np.ndarray]


class Task(abc.ABC):
    """The interface between a task and the rest; a task says what differs from these defaults.

    Attributes:
        fields: Names of the fields of the data that it needs (`chanattn.data`).
        heads: Names of the heads whose outputs it takes (`chanattn.models.heads`); the first is the default.
        metrics: What `results` gives of every evaluation; the first decides which checkpoint is best.
        details: What `results` gives besides, if it is given answers.
        monitored: Names of what `monitor` gives.
        terms: Names of the terms of the loss that are reported one by one, where there are several.
        measured_from_answers: Whether some of `metrics` come from answers, so that an evaluation during
            training has to collect them.
    """

    fields: ClassVar[tuple[str, ...]] = ("label",)
    heads: ClassVar[tuple[str, ...]] = ("classifier",)
    metrics: ClassVar[tuple[Metric, ...]]
    details: ClassVar[tuple[Metric, ...]] = ()
    monitored: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[str, ...]] = ()
    measured_from_answers: ClassVar[bool] = False
    #: `(logits, batch) -> loss of each example (B,)` of logits (B, classes) that tell which classes a picture
    #: contains, for mechanisms that learn from it (EncNet); None: the task cannot say.
    presence_loss: Callable[[jax.Array, Batch], jax.Array] | None = None

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """The task of a config's `task` section."""
        del config
        return cls()

    def fitted(self, annotations: Callable[[], Iterable[Mapping[str, Any]]], classes: int) -> Self:
        """The task with what it takes from the training examples: weights of classes, a vocabulary.

        Asked once, before anything is built or evaluated in a training.

        Args:
            annotations: Gives the stored values of the fields of one example after another, decoded.
            classes: How many there are.
        """
        del annotations, classes
        return self

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """What the head is given beside the endpoints (the words so far), by name."""
        del batch
        return {}

    def targets(self, batch: Batch) -> Batch:
        """The batch, with what the loss compares outputs to; traced, once for the whole batch."""
        return batch

    def weights(self, batch: Batch) -> dict[str, jax.Array]:
        """What each term of the loss is divided by, from the batch alone; scalars.

        A term that is not named is divided by the number of real examples. Because the weight is that of the
        whole batch, a batch that is computed in parts has the same gradient.
        """
        del batch
        return {}

    @abc.abstractmethod
    def loss(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """The terms of the objective that is differentiated, each as a sum over real examples; scalars."""

    def extra_losses(self, sown: Mapping[str, Any], batch: Batch) -> dict[str, Pair]:
        """What mechanisms in the network add to the objective, see `chanattn.tasks.auxiliary`."""
        return auxiliary.collect(sown, batch, self.presence_loss)

    def monitor(self, outputs: Any, batch: Batch) -> dict[str, Pair]:
        """What is reported of training steps beside the loss, as (sum over real examples, number of them)."""
        del outputs, batch
        return {}

    @abc.abstractmethod
    def measure(self, outputs: Any, batch: Batch) -> Any:
        """What an evaluation adds up on the device: a pytree of sums.

        Floating-point sums lose nothing up to 2^48, integers up to 2^31 (`Totals`).
        """

    def answers(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Any, batch: Batch
    ) -> dict[str, jax.Array]:
        """The answers on a batch, of a size that does not depend on them; each (B, ...), traced.

        Args:
            model: The network, for answers that need more of it than its outputs.
            weights: {"params", "batch_stats"}.
            outputs: Of the network on the batch.
            batch: The batch.
        """
        del model, weights, outputs, batch
        return {}

    def predict(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Any, batch: Batch
    ) -> dict[str, jax.Array]:
        """The answers on pictures of which nothing else is known, each (B, ...); traced.

        Args:
            model: As in `answers`.
            weights: As in `answers`.
            outputs: As in `answers`.
            batch: `image`, `mask` and `index` alone.

        Raises:
            UsageError: The task has no such answers.
        """
        raise self._cannot("predict on pictures without annotations")

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, Any]:
        """What `predict` answered on one picture, for people: JSON values.

        Args:
            answer: Its arrays, without the dimension of the batch; on the host.
            class_names: Of the classes, in the order of the labels.
            most: How many of the best to tell, where there are several; None: all.

        Raises:
            UsageError: The task cannot say.
        """
        raise self._cannot("tell what it predicts")

    def draw(self, picture: np.ndarray, told: Mapping[str, Any]) -> np.ndarray:
        """A picture with its answer in or beside it.

        Args:
            picture: (H, W, 3) uint8, of any size.
            told: What `told` gave.

        Returns:
            Another (H, W, 3) uint8.

        Raises:
            UsageError: The task cannot draw.
        """
        raise self._cannot("draw what it predicts")

    def _cannot(self, what: str) -> UsageError:
        return UsageError(f"the task {type(self).__name__} cannot {what} yet")

    @abc.abstractmethod
    def results(
        self, totals: Any, answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Every metric, and with answers whatever else there is to tell; JSON values.

        Args:
            totals: What `measure` gave, added up over all examples; float64 and integers.
            answers: What `answers` gave, over all examples; None: nobody has asked.
            class_names: Of the data set, in the order of the labels.

        Returns:
            A metric is None where there is nothing to measure.
        """


def mean(pair: tuple[Any, Any]) -> float | None:
    """Sum / count of a pair on the host; None for a count of 0."""
    total, count = pair
    return float(total) / float(count) if count else None
