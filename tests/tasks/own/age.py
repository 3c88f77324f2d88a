"""A task of one's own, as a user would write it: the number that a picture shows, as a number.

The label is the target, so that any data set of classification whose classes are in order will do.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from chanattn import tasks
from chanattn.models import heads
from chanattn.runs.metric import Metric


class Number(nn.Module):
    """One number a picture, from the pooled features."""

    num_classes: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, endpoints: Any, *, size: Any, drop: Any, train: bool) -> jax.Array:
        """Pooled features (N, C) -> (N,)."""
        dense = nn.Dense(1, dtype=jnp.float32, param_dtype=self.param_dtype)
        number: jax.Array = dense(drop(endpoints["pooled"]))[:, 0]
        return number


class Regression(tasks.Task):
    """Mean squared error; measured as the mean absolute error, and as a correlation on the host."""

    heads = ("number",)
    metrics = (
        Metric("mae", "mean absolute error", "", higher_is_better=False),
        Metric("correlation", "correlation", "", higher_is_better=True),
        Metric("loss", "squared error", "", higher_is_better=False),
    )
    monitored = ("mae",)
    measured_from_answers = True

    def loss(self, outputs: Any, batch: Any) -> dict[str, jax.Array]:
        """Of outputs (B,)."""
        error = (outputs - batch["label"]) ** 2
        return {"loss": jnp.where(batch["mask"] > 0, error, 0.0).sum()}

    def monitor(self, outputs: Any, batch: Any) -> dict[str, Any]:
        """Of outputs (B,)."""
        error = jnp.abs(outputs - batch["label"])
        return {"mae": (jnp.where(batch["mask"] > 0, error, 0.0).sum(), batch["mask"].sum())}

    def measure(self, outputs: Any, batch: Any) -> dict[str, Any]:
        """Of outputs (B,)."""
        loss = self.loss(outputs, batch)["loss"], batch["mask"].sum()
        return {"loss": loss, **self.monitor(outputs, batch)}

    def answers(self, model: Any, weights: Any, outputs: Any, batch: Any) -> dict[str, jax.Array]:
        """Outputs and what they should be."""
        return {"found": outputs, "wanted": batch["label"]}

    def results(self, totals: Any, answers: Any, class_names: tuple[str, ...]) -> dict[str, Any]:
        """The three metrics."""
        correlation = float(np.corrcoef(answers["found"], answers["wanted"])[0, 1])
        return {
            "mae": totals["mae"][0] / totals["mae"][1],
            "correlation": correlation,
            "loss": totals["loss"][0] / totals["loss"][1],
        }


heads.register("number", Number)
tasks.register("regression", Regression)
