"""What is learnt: a task turns the network's output and a batch into a loss and metrics.

A new task is one file with a class that has the members of `Task`, and one line in `_TASKS`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.errors import UsageError, did_you_mean
from chanattn.runs.metric import Metric
from chanattn.tasks.classification import Classification


class Task(Protocol):
    """The interface between a task and the training step."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured; the first one decides which of two evaluations is the better."""
        ...

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics, in the order in which they are printed and logged."""
        ...

    def loss(self, logits: jax.Array, batch: Batch) -> Pair:
        """The objective that is differentiated, as (sum over real examples, number of them)."""
        ...

    def extra_losses(self, sown: Mapping[str, Any], batch: Batch) -> dict[str, Pair]:
        """What is added to the objective, from what modules have sown: pairs by the names of `auxiliary`."""
        ...

    def measure(self, logits: jax.Array, batch: Batch) -> dict[str, Pair]:
        """Every metric of `metrics`, each as (sum over real examples, number of them)."""
        ...


_TASKS: dict[str, Callable[[ConfigDict], Task]] = {
    "classification": lambda config: Classification(
        label_smoothing=config.label_smoothing, se_loss_weight=config.se_loss_weight
    ),
}


def names() -> list[str]:
    """The tasks there are, sorted."""
    return sorted(_TASKS)


def create(config: ConfigDict) -> Task:
    """The task of a config's `task` section.

    Raises:
        UsageError: there is no task of that name.
    """
    if config.name not in _TASKS:
        raise UsageError(
            f"unknown task {config.name!r}; there are: {', '.join(names())}."
            + did_you_mean(config.name, names())
        )
    return _TASKS[config.name](config)
