"""What is learnt. A new task is one file with a class like `Classification`, and one line in `_TASKS`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import chanattn.laboratory  # noqa: F401
from chanattn import models
from chanattn.errors import UsageError, did_you_mean
from chanattn.tasks import auxiliary
from chanattn.tasks.captioning import Captioning
from chanattn.tasks.classification import Classification
from chanattn.tasks.detection import Detection
from chanattn.tasks.segmentation import Segmentation
from chanattn.tasks.task import RESERVED, STEP_METRICS, Answers, Task

if TYPE_CHECKING:  # first the laboratory, see above
    from ml_collections import ConfigDict

__all__ = ["Answers", "Task", "annotations", "create", "names", "network", "register"]

_TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "detection": Detection,
    "captioning": Captioning,
}
#: The kinds of annotations that fields of the data are.
_KINDS = {"label": "label", "label_map": "mask", "boxes": "boxes", "captions": "captions"}


def names() -> list[str]:
    """The tasks there are, sorted."""
    return sorted(_TASKS)


def register(name: str, task: type[Task]) -> None:
    """Adds a task that lives elsewhere, so that `config.task.name` can name it.

    Raises:
        ValueError: Another task has that name, or what the task declares cannot work.
    """
    known = _TASKS.get(name, task)
    if (known.__module__, known.__qualname__) != (task.__module__, task.__qualname__):
        raise ValueError(f"there is a task called {name!r} already")
    for mistake in _mistakes(task):
        raise ValueError(f"task {name!r}: {mistake}")
    _TASKS[name] = task


def _mistakes(task: type[Task]) -> Iterator[str]:
    """What a task declares and cannot be: names that the files of runs have for something else."""
    if not task.metrics:
        yield "metrics must name one at least, which decides what is best"
    if not task.heads:
        yield "heads must name one at least"
    for field in task.fields:
        if field not in _KINDS:
            yield f"there is no field {field!r} of data; there are: {', '.join(_KINDS)}"
    results = [metric.name for metric in (*task.metrics, *task.details)]
    reported = [*task.monitored, *task.terms]
    for kind, names, taken in (
        ("metrics and details", results, RESERVED),
        ("monitored and terms", reported, RESERVED | {"loss", auxiliary.AUXILIARY, *STEP_METRICS}),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"{kind} have the name {twice[0]!r} twice"
        for name in names:
            if name in taken:
                yield f"{kind} cannot have the name {name!r}, which a run has for something else"


def annotations(name: str) -> tuple[str, ...] | None:
    """The kinds of annotations that a task learns from (label, mask, boxes, captions); None: no such task."""
    if name not in _TASKS:
        return None
    return tuple(_KINDS[field] for field in _TASKS[name].fields)


def create(config: "ConfigDict") -> Task:
    """The task of a config's `task` section.

    Raises:
        UsageError: There is no task of that name.
    """
    if config.name not in _TASKS:
        raise UsageError(
            f"unknown task {config.name!r}; there are: {', '.join(names())}."
            + did_you_mean(config.name, names())
        )
    return _TASKS[config.name].from_config(config)


def network(config: "ConfigDict", num_classes: int) -> models.Network:
    """The network of a whole config, with the head that its task needs.

    Args:
        config: As `chanattn.config` declares it.
        num_classes: Of the data set.

    Raises:
        UsageError: As `chanattn.models.create`, or `config.model.head` gives other outputs than the task
            takes, or the task and `config.model.attention` choose the attention of the head, or a mechanism
            learns which classes a picture contains and the task cannot say.
    """
    task = create(config.task)
    heads = task.heads
    if config.model.head and config.model.head not in heads:
        models.heads.check(config.model.head)
        raise UsageError(
            f"config.model.head={config.model.head} is not for the task {config.task.name}, which takes "
            f"{' or '.join(heads)}: choose one of these, or leave it empty"
        )
    at_neck = config.model.attention.placement == "neck"
    model = models.from_config(
        config.model,
        num_classes,
        config.precision,
        config.param_dtype,
        heads[0],
        task.head_options_beside_neck() if at_neck else task.head_options(),
    )
    if task.presence_loss is None and "presence" in auxiliary.names(model):
        raise UsageError(
            f"attention {config.model.attention.name!r} learns which classes a picture contains, which the "
            f"task {config.task.name} cannot tell: set config.model.attention.se_loss=False"
        )
    return model
