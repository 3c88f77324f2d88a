"""Batch normalisation as PyTorch configures it, with the activation that follows it."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.layers import kernels
from chanattn.layers.activation import activation
from chanattn.layers.conv import Conv
from chanattn.onednn import operations

EPSILON = 1e-5


def batch_norm(
    train: bool,
    *,
    name: str,
    momentum: float = 0.9,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
    act: str = "",
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> "BatchNorm":
    """Batch norm over all but the last axis: batch statistics if `train`, else the running ones.

    `momentum` is the share of the old running value that is kept: PyTorch's momentum m is 1 - m here.
    Statistics are float32 and, under a sharded batch, those of the global batch. The running variance
    is the biased one (PyTorch stores the unbiased one, n / (n - 1) larger).
    The variance takes two passes: E[x^2] - E[x]^2 in one loses its digits where the mean is large.
    """
    return BatchNorm(
        train=train,
        momentum=momentum,
        scale_init=scale_init,
        act=act,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) * scale + bias, then an activation; Ioffe & Szegedy, ICML 2015.

    Parameters `scale` and `bias` (C,), running `mean` and `var` (C,) in `batch_stats`, as Flax's.

    Attributes:
        train: Whether the statistics are the batch's.
        momentum: Share of the old running statistics that is kept.
        scale_init: Initialiser of the scale.
        act: A name of `layers.activation`, or none. A ReLU costs nothing where oneDNN computes it.
        dtype: Type of the result.
        param_dtype: Type of the parameters.
    """

    train: bool
    momentum: float = 0.9
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    act: str = ""
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, after: Conv | None = None, addend: jax.Array | None = None
    ) -> jax.Array:
        """Normalise.

        With running statistics the norm is a factor and a shift a channel, which oneDNN applies within
        the convolution before it, and so the sum and the activation after it.

        Args:
            x: (..., C), or what `after` convolves.
            after: The convolution that the norm follows; None: x is normalised as it is.
            addend: (..., C), added before the activation; None: nothing is.
        """
        shape = (x.shape[-1] if after is None else after.features,)
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(shape, jnp.float32))
        var = self.variable("batch_stats", "var", lambda: jnp.ones(shape, jnp.float32))
        relu = self.act == "relu"
        act = activation(self.act) if self.act else lambda y: y

        def end(y: jax.Array) -> jax.Array:
            return act(y if addend is None else y + addend)

        if not self.train and after is not None and _fits_onednn(x, scale, self.dtype):
            factor = lax.rsqrt(var.value + EPSILON) * scale
            y = after(x, factor, bias - mean.value * factor, addend, relu)
            return y if relu else act(y)
        if after is not None:
            x = after(x)
        if not self.train:
            return end(_normalise(x, mean.value, var.value, scale, bias).astype(self.dtype))
        if _fits_onednn(x, scale, self.dtype):
            at_once = relu and addend is None
            y, *moments = _by_onednn(x, scale, bias, at_once)
            y = y if at_once else end(y)
        else:
            y, *moments = _by_batch(x, scale, bias)
            y = end(y.astype(self.dtype))
        if not self.is_initializing():
            for running, new in zip((mean, var), moments, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * new
        return y


def _by_onednn(
    x: jax.Array, scale: jax.Array, bias: jax.Array, relu: bool
) -> tuple[jax.Array, ...]:
    """As `_by_batch`, with a ReLU if wanted."""

    def fast(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
        return operations.batch_norm(x, scale, bias, EPSILON, relu)

    def plain(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
        y, *moments = _by_batch(x, scale, bias)
        return (nn.relu(y) if relu else y), *moments

    return lax.platform_dependent(x, scale, bias, cpu=fast, default=plain)


def _by_batch(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalised by its own statistics, and these."""
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axes)
    var = jnp.mean(jnp.square(wide - mean), axes)
    return _normalise(x, mean, var, scale, bias), mean, var


def _normalise(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array
) -> jax.Array:
    return (x - mean) * (lax.rsqrt(var + EPSILON) * scale) + bias


def _fits_onednn(x: jax.Array, scale: jax.Array, dtype: Any) -> bool:
    return (
        kernels.current() == "onednn"
        and x.ndim == 4
        and x.size > 0
        and x.dtype == scale.dtype == dtype == jnp.float32
    )
