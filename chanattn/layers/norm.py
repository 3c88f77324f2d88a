"""Batch normalisation as PyTorch configures it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


def batch_norm(
    train: bool,
    *,
    name: str,
    momentum: float = 0.9,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> nn.BatchNorm:
    """Batch norm over all but the last axis: batch statistics if `train`, else the running ones.

    `momentum` is the share of the old running value that is kept: PyTorch's momentum m is 1 - m here.
    Statistics are float32 and, under a sharded batch, those of the global batch. The running variance
    is the biased one (PyTorch stores the unbiased one, n / (n - 1) larger).
    The variance takes two passes: E[x^2] - E[x]^2 in one loses its digits where the mean is large.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=1e-5,
        use_fast_variance=False,
        scale_init=scale_init,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )
