"""What a task is: it turns outputs of a network and a batch into a loss, and into metrics.

Arrays of a batch have the examples as their first dimension, and padding may hold anything: what is summed is
summed under the batch's `mask` (1 for real examples), by `where` and not by a product: 0 * inf is not 0.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.data.fields import Placement
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
#: Red, green and blue from 0 to 255; None: hatched.
Colour = tuple[int, int, int] | None


class Task(abc.ABC):
    """The interface between a task and the rest; a task says what differs from these defaults.

    Attributes:
        fields: Names of the fields of the data that it needs (`chanattn.data`).
        heads: Names of the heads whose outputs it takes (`chanattn.models.heads`); the first is the default.
        metrics: What `results` gives of every evaluation; the first decides which checkpoint is best.
        details: What `results` gives besides, if it is given answers.
        monitored: Names of what `monitor` gives.
        terms: Names of the terms of the loss that are reported one by one, where there are several.
        pixelwise: Whether outputs are (B, H, W, ...), values of the pixels, so that those on the windows of a
            picture can be put together.
        table: Headings of what `rows` gives.
        placed: Whether answers lie at places of the picture, as label maps and boxes do: pictures of one's
            own are then fitted in whole, and `at_stored_size` brings the answers back.
        samples: How many examples of the evaluation split `samples.png` shows at the end of a training and of
            an evaluation; 0: there is no such picture.
        sample_side: Longest side in pixels of each picture in it; 0: as they are drawn.
        most_told: How many of the best answers `predict.py` tells of a picture; None: all that `told` gives.
        measured_from_answers: Whether some of `metrics` come from answers, so that an evaluation during
            training has to collect them.
        answered_by_network: Whether `answers` calls the network again (to say word after word), so that one
            program for both saves what they share.
        scored_as_written: Whether answers are compared with captions as they are written, so that `results`
            and `exports` find those among them: `written`, a tuple of texts a picture.
        scored_as_stored: Whether answers are scored in pixels of the picture as it is stored, so that the
            batches of an evaluation say where that lies (`whereabouts`, see `chanattn.data.fields`).
    """

    fields: ClassVar[tuple[str, ...]] = ("label",)
    heads: ClassVar[tuple[str, ...]] = ("classifier",)
    metrics: ClassVar[tuple[Metric, ...]]
    details: ClassVar[tuple[Metric, ...]] = ()
    monitored: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[str, ...]] = ()
    pixelwise: ClassVar[bool] = False
    measured_from_answers: ClassVar[bool] = False
    answered_by_network: ClassVar[bool] = False
    scored_as_stored: ClassVar[bool] = False
    scored_as_written: ClassVar[bool] = False
    table: ClassVar[tuple[str, ...]] = ("class", "probability")
    placed: ClassVar[bool] = False
    samples: ClassVar[int] = 0
    sample_side: ClassVar[int] = 320
    most_told: ClassVar[int | None] = 5
    #: `(logits, batch) -> loss of each example (B,)` of logits (B, classes) that tell which classes a picture
    #: contains, for mechanisms that learn from it (EncNet); None: the task cannot say.
    presence_loss: Callable[[jax.Array, Batch], jax.Array] | None = None

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """The task of a config's `task` section."""
        del config
        return cls()

    def fitted(
        self, annotations: Callable[[], Iterable[Mapping[str, Any]]], class_names: Sequence[str]
    ) -> Self:
        """The task with what it takes from the training examples: weights of classes, a vocabulary.

        Asked once, before anything is built or evaluated in a training.

        Args:
            annotations: Gives the stored values of the fields of one example after another, decoded.
            class_names: Of the data set, in the order of the labels.
        """
        del annotations, class_names
        return self

    def head_options(self) -> dict[str, Any]:
        """Fields of the head that the options of the task decide, see `chanattn.models.create`."""
        return {}

    def head_options_beside_neck(self) -> dict[str, Any]:
        """As `head_options`, where a mechanism at placement neck takes the places of attention in the head.

        Raises:
            UsageError: The options of the task choose another attention there.
        """
        return self.head_options()

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """What the head is given beside the endpoints (the words so far), by name."""
        del batch
        return {}

    def typical_inputs(self, examples: int) -> dict[str, jax.Array]:
        """As `inputs`, for so many examples that stand for all where costs are counted and timed."""
        del examples
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

    def active_terms(self) -> tuple[str, ...]:
        """Those of `terms` that `loss` gives with the options of this task."""
        return self.terms

    def sown(self) -> tuple[str, ...]:
        """The collections of a forward pass that `extra_losses` asks for."""
        return auxiliary.COLLECTIONS

    def extra_names(self, model: Any) -> tuple[str, ...]:
        """Names of what `extra_losses` gives on a network."""
        return auxiliary.names(model)

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

    def mean_of_views(
        self, outputs: Sequence[Any], mirrored: Sequence[bool], size: tuple[int, int]
    ) -> Any:
        """Outputs on several views of the same pictures as one, as `measure` and `answers` take it; traced.

        Args:
            outputs: On each view.
            mirrored: Whether the view is the picture with left and right exchanged.
            size: (H, W) of the pictures; a view may have another.

        Raises:
            UsageError: The task has no such mean.
        """
        raise self._cannot("average over views")

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
            batch: `image`, `mask` and `index` alone; of `scored_as_stored` tasks maybe `whereabouts`.

        Raises:
            UsageError: The task has no such answers.
        """
        raise self._cannot("predict on pictures without annotations")

    def at_stored_size(self, answer: Answers, placement: Placement) -> Answers:
        """What `predict` answered on one picture, in the pixels of the picture as it is stored.

        Args:
            answer: Its arrays, without the dimension of the batch; on the host.
            placement: Where the stored picture lies in the one that the network saw.
        """
        del placement
        return answer

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, Any]:
        """What `predict` answered on one picture, for people: JSON values, and arrays, which JSON leaves out.

        Args:
            answer: What `at_stored_size` gave.
            class_names: Of the classes, in the order of the labels.
            most: How many of the best to tell, where there are several; None: all.

        Raises:
            UsageError: The task cannot say.
        """
        raise self._cannot("tell what it predicts")

    def rows(self, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """What `told` gave, as the rows of a table with the headings `table`.

        Raises:
            UsageError: The task cannot say.
        """
        raise self._cannot("tell what it predicts")

    def draw(self, example: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """An example and the answer on it, as pictures that stand beside each other.

        Args:
            example: `image` (H, W, 3) uint8, of any size, as it is stored; and, where they are known, the
                arrays of the fields of the data, in its pixels (`chanattn.data.fields`); of captions the
                texts as they are written.
            told: What `told` gave.

        Returns:
            Pictures (H', W', 3) uint8 by the heading above each; one without a heading stands alone.

        Raises:
            UsageError: The task cannot draw.
        """
        raise self._cannot("draw what it predicts")

    def legend(self, class_names: tuple[str, ...]) -> dict[str, Colour]:
        """What the colours of `draw` mean: names, each with a colour, or None for what is hatched."""
        del class_names
        return {}

    def files(self, told: Mapping[str, Any]) -> dict[str, bytes]:
        """What else is saved of an answer, by the end of the name of its file (`.labels.png`)."""
        del told
        return {}

    def exports(
        self, found: Iterable[tuple[str, Mapping[str, Any]]], class_names: tuple[str, ...]
    ) -> dict[str, bytes]:
        """What is written of all answers together, in the formats of other programs, by the end of its name.

        Args:
            found: The name of each picture with what `answers` gave on it in an evaluation, which must have
                the `index` of the batch among it; or with what `told` gave.
            class_names: Of the classes, in the order of the labels.
        """
        del found, class_names
        return {}

    def baselines(self, answers: Answers, known: Answers) -> dict[str, dict[str, Any]]:
        """What guesses achieve that are made of the training examples: results by the name of the guess.

        Args:
            answers: What `answers` gave, over all examples of an evaluation.
            known: The same of the training split.

        Raises:
            UsageError: The task knows no guesses.
        """
        raise self._cannot("compare with guesses")

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
            A metric is None where there is nothing to measure. Shares of every class are called
            `per_class_NAME` (`chanattn.runs.per_class`); a training keeps those of its last evaluation.
        """


def log_mean(logits: Sequence[jax.Array]) -> jax.Array:
    """The logarithm of the mean of the softmax of several (..., classes), float32: logits of that mean."""
    log_p = jnp.stack([jax.nn.log_softmax(each.astype(jnp.float32)) for each in logits])
    return jax.nn.logsumexp(log_p, axis=0) - math.log(len(logits))


def mean(pair: tuple[Any, Any]) -> float | None:
    """Sum / count of a pair on the host; None for a count of 0."""
    total, count = pair
    return float(total) / float(count) if count else None
