"""The head of classification networks."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

_torch_linear_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Classifier(nn.Module):
    """Dropout and one dense layer on the pooled features; the initial values are PyTorch's.

    Attributes:
        num_classes: Outputs.
        dtype: Not used: logits are float32.
        param_dtype: Type of the parameters.
    """

    num_classes: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """The layer's parameters are the head's own."""
        self.linear = nn.Dense(
            self.num_classes,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            kernel_init=_torch_linear_init,
        )
        nn.share_scope(self, self.linear)

    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> jax.Array:
        """Pooled features (N, C) -> logits (N, num_classes) float32."""
        del size, train
        logits: jax.Array = self.linear(drop(endpoints["pooled"]))
        return logits
