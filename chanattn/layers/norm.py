"""Batch normalisation as PyTorch configures it, with the activation that follows it."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.layers import kernels
from chanattn.layers.activation import activation
from chanattn.onednn import operations

EPSILON = 1e-5
FROZEN = "frozen"
"""Collection of variables: a norm that finds its `mean` there stays as it is, in training too."""


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; Ioffe & Szegedy, ICML 2015.

    Parameters `scale` and `bias` (C,), running `mean` and `var` (C,) in `batch_stats`, as Flax's. Statistics
    are those over all axes but the last, in float32 and, under a sharded batch, of the global batch. The
    running variance is the biased one (PyTorch stores the unbiased one, n / (n - 1) larger). The variance
    takes two passes: E[x^2] - E[x]^2 in one loses its digits where the mean is large. A frozen one, see
    `FROZEN`, normalises by the running statistics even if `train`, and keeps them.

    Attributes:
        train: Whether the statistics are the batch's, else the running ones.
        epsilon: Added to the variance; PyTorch's default.
        momentum: Share of the old running statistics that is kept: PyTorch's momentum m is 1 - m here.
        scale_init: Initialiser of the scale.
        act: The activation that follows, a name of `layers.activation`, or none. It is part of the layer
            because oneDNN computes norm and ReLU, and their gradients, in one pass each.
        dtype: Type of the result.
        param_dtype: Type of the parameters.
    """

    train: bool
    epsilon: float = EPSILON
    momentum: float = 0.9
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    act: str = ""
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise (..., C)."""
        shape = x.shape[-1:]
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(shape, jnp.float32))
        var = self.variable("batch_stats", "var", lambda: jnp.ones(shape, jnp.float32))
        act = activation(self.act) if self.act else lambda y: y
        if not self.train or self.has_variable(FROZEN, "mean"):
            y = _normalise(x, mean.value, var.value, scale, bias, self.epsilon)
            return act(y.astype(self.dtype))
        if _fits_onednn(x, scale, self.dtype):
            relu = self.act == "relu"
            y, *moments = _by_onednn(x, scale, bias, self.epsilon, relu)
            y = y if relu else act(y)
        else:
            y, *moments = _by_batch(x, scale, bias, self.epsilon)
            y = act(y.astype(self.dtype))
        if not self.is_initializing():
            for running, new in zip((mean, var), moments, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * new
        return y


def _by_onednn(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, relu: bool
) -> tuple[jax.Array, ...]:
    """As `_by_batch`, with a ReLU if wanted."""

    def fast(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
        return operations.batch_norm(x, scale, bias, epsilon, relu)

    def plain(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
        y, *moments = _by_batch(x, scale, bias, epsilon)
        return (nn.relu(y) if relu else y), *moments

    return kernels.by_platform(x, scale, bias, cpu=fast, default=plain)


def _by_batch(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalised by its own statistics, and these."""
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axes)
    var = jnp.mean(jnp.square(wide - mean), axes)
    return _normalise(x, mean, var, scale, bias, epsilon), mean, var


def _normalise(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
) -> jax.Array:
    return (x - mean) * (lax.rsqrt(var + epsilon) * scale) + bias


def _fits_onednn(x: jax.Array, scale: jax.Array, dtype: Any) -> bool:
    return (
        kernels.current() == "onednn"
        and x.ndim == 4
        and x.size > 0
        and x.shape[-1] > 1  # of one channel, oneDNN computes it value by value
        and x.dtype == scale.dtype == dtype == jnp.float32
    )
