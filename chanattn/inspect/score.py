"""What is compared when weights are replaced: sums over pictures, and the numbers that are made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from chanattn.inspect.network import Batch


@dataclass(frozen=True)
class Score:
    """Numbers that tell how good outputs are, from sums over pictures.

    Attributes:
        measure: (outputs, batch) -> a pytree of arrays (B, ...), what each picture adds; traced.
        values: The sums of that over pictures -> numbers by name, of which the first decides unless there are
            `answers`, and `loss` is one; NaN where there is nothing to measure.
        name: Of the number that decides.
        label: For people.
        unit: "%" for a share, which is shown times 100; else what follows the number.
        higher_is_better: Of the number that decides.
        answers: What decides where it is no function of sums; None: it is one.
    """

    measure: Callable[[Any, Batch], Any]
    values: Callable[[Any], Mapping[str, float]]
    name: str
    label: str
    unit: str = ""
    higher_is_better: bool = True
    answers: "Answers | None" = None


@dataclass(frozen=True)
class Answers:
    """A number that is made of the answers on all pictures together, as average precision is.

    Attributes:
        answer: (outputs, batch) -> a pytree of arrays (B, ...); traced.
        value: Those of pictures, one after the other -> the number; NaN where there is nothing to measure.
    """

    answer: Callable[[Any, Batch], Any]
    value: Callable[[Any], float]


def cross_entropy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """-log p of the label of each picture, (B,) in nats, of logits (B, K)."""
    log_p = jax.nn.log_softmax(outputs.astype(jnp.float32))
    return -jnp.take_along_axis(log_p, batch["label"][:, None], axis=1)[:, 0]


def _measure(outputs: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    loss = cross_entropy(outputs, batch)
    right = jnp.argmax(outputs, axis=-1) == batch["label"]
    return {"right": right.astype(jnp.float32), "loss": loss, "pictures": jnp.ones_like(loss)}


def _values(sums: Mapping[str, Any]) -> dict[str, float]:
    pictures = float(sums["pictures"])
    if not pictures:
        return {"accuracy": float("nan"), "loss": float("nan")}
    return {"accuracy": sums["right"] / pictures, "loss": sums["loss"] / pictures}


#: Of logits (B, K) against `batch["label"]`.
ACCURACY = Score(_measure, _values, "accuracy", "accuracy", "%")
