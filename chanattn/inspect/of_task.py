"""What the probes take of a task: its score picture by picture, and the classes that pictures show."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn import tasks
from chanattn.data.captions import FIELD as CAPTIONS
from chanattn.data.captions import TOKENS
from chanattn.data.vocabulary import PAD
from chanattn.inspect.network import Batch
from chanattn.inspect.score import Answers, Score
from chanattn.inspect.varies import Classes
from chanattn.inspect.words import Words


def score_of(task: tasks.Task, class_names: tuple[str, ...]) -> Score:
    """The first metric of a task and its loss, from sums over pictures.

    Average precision is made of the answers on all pictures together. Captions are scored by their loss
    alone: weights that replace those before each word of one caption are of no use to another one.
    """
    from_sums = not task.measured_from_answers
    metric = task.metrics[0]
    shown = metric.name, metric.label, metric.unit, metric.higher_is_better

    def one(output: Any, example: Batch) -> Any:
        output, alone = jax.tree.map(lambda leaf: leaf[None], (output, dict(example)))
        divisors = task.weights(alone)
        terms = task.loss(output, alone)
        loss = sum(value / divisors.get(name, 1.0) for name, value in terms.items())
        return {
            "loss": jnp.asarray(loss, jnp.float32),
            "pictures": jnp.float32(1),
            "sums": task.measure(output, alone) if from_sums else {},
        }

    def measure(outputs: Any, batch: Batch) -> Any:
        return jax.vmap(one)(outputs, task.targets(dict(batch)))

    def values(sums: Mapping[str, Any]) -> dict[str, float]:
        loss = sums["loss"] / sums["pictures"] if sums["pictures"] else np.nan
        if not from_sums:
            return {"loss": float(loss)}
        told = task.results(sums["sums"], None, class_names)
        found = {metric.name: told[metric.name], "loss": told.get("loss", loss)}
        return {name: np.nan if value is None else float(value) for name, value in found.items()}

    def value(answers: Any) -> float:
        found = task.results({}, answers, class_names)[metric.name]
        return np.nan if found is None else float(found)

    if from_sums:
        return Score(measure, values, *shown)
    if task.scored_as_stored:
        # Boxes follow from the outputs alone: neither network nor weights are asked for.
        answer = partial(task.answers, None, {})
        return Score(measure, values, *shown, answers=Answers(answer, value))
    return Score(measure, values, "loss", "loss", "nats", higher_is_better=False)


def classes_of(
    task: tasks.Task, class_names: tuple[str, ...]
) -> tuple[Classes, Callable[[Batch], np.ndarray]]:
    """The classes, and which of them the pictures of a batch show: (B, K) of 0 and 1.

    Of a classification its label, of a segmentation and a detection what is somewhere in the picture; of a
    captioning, whose classes are words, none.
    """
    numbers = np.arange(len(class_names))
    by_field: dict[str, Callable[[Batch], np.ndarray]] = {
        "label": lambda batch: np.asarray(batch["label"])[:, None] == numbers,
        "label_map": lambda batch: _anywhere(np.asarray(batch["label_map"]), len(class_names)),
        "boxes": lambda batch: _anywhere(np.asarray(batch["boxes_label"]), len(class_names)),
    }
    for name, shown in by_field.items():
        if name in task.fields:
            return Classes(class_names, exclusive=name == "label"), shown
    return Classes(()), lambda batch: np.zeros((len(batch["mask"]), 0))


def words_of(task: tasks.Task, class_names: tuple[str, ...]) -> Words | None:
    """The words of captions whose `tokens` are told, the end among them; None for other tasks."""
    if CAPTIONS not in task.fields:
        return None

    def following(batch: Batch) -> np.ndarray:
        next_words = np.asarray(batch[TOKENS])[:, 1:]
        return np.where(next_words == PAD, -1, next_words)

    return Words(class_names, following)


def _anywhere(labels: np.ndarray, classes: int) -> np.ndarray:
    """Which classes are among the labels of each picture; others than 0 .. K - 1 are none."""
    found = np.zeros((len(labels), classes), bool)
    for row, of_picture in enumerate(labels):
        present = np.unique(of_picture)
        found[row, present[(present >= 0) & (present < classes)]] = True
    return found
