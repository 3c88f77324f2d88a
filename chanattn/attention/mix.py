"""Mix: a descriptor becomes one logit a channel.

Every mix maps (N, C) to (N, C). Given K statistics a channel, (N, K, C), it treats each alike, with the
same parameters, and adds the K logits (CBAM's shared MLP), except `PerChannel`, which weighs them. Given
a whole map (N, H, W, C), it works at every position.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional.mix import correlate, pad_channels
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError, did_you_mean
from chanattn.layers import BatchNorm, GroupedDense, activation, dense


def _sum_statistics(z: jax.Array) -> jax.Array:
    return jnp.sum(z, axis=1) if z.ndim == 3 else z


class Identity(nn.Module):
    """z = s (SE-Var1 of the ECA paper); nothing to store, whatever the type of the parameters."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Pass the descriptor on."""
        return _sum_statistics(s)


class Bottleneck(nn.Module):
    """z = W2 act(W1 s + b1) + b2 with W1: C -> d, W2: d -> C (SE, Section 3.2). 2 C d + C + d parameters.

    Attributes:
        width: d, or the rule that gives it from C.
        use_bias: Whether b1 and b2 are there.
        act: Name of the activation.
        use_norm: Batch norm before the activation; it then sees one value a picture.
        param_dtype: Type of the parameters.
    """

    width: int | WidthRule
    use_bias: bool = True
    act: str = "relu"
    use_norm: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        channels = s.shape[-1]
        width = self.width(channels) if callable(self.width) else self.width
        layer = {"use_bias": self.use_bias, "param_dtype": self.param_dtype}
        z = dense(width, name="reduce", **layer)(s)
        if self.use_norm:
            z = BatchNorm(train, name="norm", param_dtype=self.param_dtype)(z)
        z = dense(channels, name="expand", **layer)(activation(self.act)(z))
        return _sum_statistics(z)


class Dense(nn.Module):
    """z = W s (+ b), W: C -> C: every channel sees every other, no bottleneck (SE-Var3, eSE).

    Attributes:
        use_bias: Whether b is there.
        use_norm: Batch norm of the result (BiSeNet's); it sees one value a picture.
        param_dtype: Type of the parameters.
    """

    use_bias: bool = False
    use_norm: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        own = {"param_dtype": self.param_dtype}
        z = dense(s.shape[-1], name="dense", use_bias=self.use_bias, **own)(s)
        if self.use_norm:
            z = BatchNorm(train, name="norm", **own)(z)
        return _sum_statistics(z)


class Grouped(nn.Module):
    """z = W s, W block-diagonal with `groups` blocks: C^2 / groups parameters (SE-GC of the ECA paper).

    Attributes:
        groups: Number of blocks, or the rule that gives it from C.
        param_dtype: Type of the parameters.
    """

    groups: int | WidthRule
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        channels = s.shape[-1]
        groups = self.groups(channels) if callable(self.groups) else self.groups
        if channels % groups:
            raise UsageError(f"groups={groups} do not divide {channels} channels; choose a divisor")
        layer = GroupedDense(
            channels, groups, use_bias=False, param_dtype=self.param_dtype, name="dense"
        )
        return _sum_statistics(layer(s))


class PerChannel(nn.Module):
    """z_c = sum_k a_kc s_kc (+ b_c): no channel sees another (SE-Var2 for K = 1, SRM's for K = 2)."""

    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) or (N, K, C) to (N, C)."""
        shape = s.shape[1:] if s.ndim == 3 else s.shape[-1:]
        z = _sum_statistics(s * self.param("kernel", nn.initializers.ones, shape, self.param_dtype))
        if self.use_bias:
            z = z + self.param("bias", nn.initializers.zeros, shape[-1:], self.param_dtype)
        return z


def uniform_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for weights and biases: uniform in +-1 / sqrt(fan_in)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) / jnp.sqrt(fan_in).astype(dtype)

    return init


class Conv1d(nn.Module):
    """z_i = sum_j a_j s_{i+j}, j = -(k-1)/2 .. (k-1)/2: one kernel slides over the channels (ECA, eq. 9).

    Attributes:
        kernel_size: k, odd, or the rule that gives it from C.
        shared: One kernel (k,) for all channels, or each its own (k, C): a band matrix (ECA-NS).
        circular: The channels form a ring (cECA); otherwise there are zeros beyond both ends.
        use_bias: One number for all channels is added, or, if not `shared`, one for each.
        param_dtype: Type of the parameters.
    """

    kernel_size: int | WidthRule
    shared: bool = True
    circular: bool = False
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        channels = s.shape[-1]
        k = self.kernel_size(channels) if callable(self.kernel_size) else self.kernel_size
        if self.circular and k > 2 * channels + 1:
            raise UsageError(
                f"kernel_size {k} goes round {channels} channels more than once; at most {2 * channels + 1}"
            )
        shape, init = (k,) if self.shared else (k, channels), uniform_fan_in(k)
        z = correlate(s, self.param("kernel", init, shape, self.param_dtype), self.circular)
        if self.use_bias:
            z = z + self.param("bias", init, shape[1:] or (1,), self.param_dtype)
        return _sum_statistics(z)


class ConvBottleneck(nn.Module):
    """z_i = b + sum_m sum_j A_jm h_m(s_{i+j}),  h_m(s) = act(u_m s + c_m): ECA through d hidden features.

    Every channel's statistic is lifted to d features by the same weights; a kernel of k taps slides over the
    channels, with zeros of the features beyond both ends. (k + 2) d + 1 parameters.

    Attributes:
        width: d, or the rule that gives it from C.
        kernel_size: k, odd, or the rule that gives it from C.
        act: Name of the activation.
        param_dtype: Type of the parameters.
    """

    width: int | WidthRule
    kernel_size: int | WidthRule
    act: str = "relu"
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        channels = s.shape[-1]
        d = self.width(channels) if callable(self.width) else self.width
        k = self.kernel_size(channels) if callable(self.kernel_size) else self.kernel_size
        lift, slide = uniform_fan_in(1), uniform_fan_in(d * k)
        u = self.param("lift", lift, (d,), self.param_dtype)
        c = self.param("lift_bias", lift, (d,), self.param_dtype)
        kernel = self.param("kernel", slide, (k, d), self.param_dtype)
        bias = self.param("bias", slide, (1,), self.param_dtype)
        features = activation(self.act)(s[..., None] * u + c)
        # First the sum over the features, for each tap, a matrix product; then the shifts of the taps.
        by_tap = pad_channels(jnp.einsum("...cd,kd->...kc", features, kernel), (k - 1) // 2)
        return _sum_statistics(bias + sum(by_tap[..., j, j : j + channels] for j in range(k)))


def check_odd(kernel_size: int) -> int:
    """A kernel over the channels needs a middle.

    Raises:
        UsageError: The size is even or not positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UsageError(f"kernel_size must be odd and positive, not {kernel_size}")
    return kernel_size


def _bottleneck(
    reduction: int = 16,
    rounding: str = "paper",
    width: int | None = None,
    divisor: int | None = None,
    min_width: int | None = None,
    use_bias: bool = True,
    **rest: Any,
) -> nn.Module:
    rule = width_rule(rounding, reduction, width=width, divisor=divisor, min_width=min_width)
    return Bottleneck(rule, use_bias, **rest)


def _conv1d(kernel_size: int = 3, use_bias: bool = False, **rest: Any) -> nn.Module:
    return Conv1d(check_odd(kernel_size), use_bias=use_bias, **rest)


def _band(kernel_size: int = 3, **rest: Any) -> nn.Module:
    return Conv1d(check_odd(kernel_size), shared=False, **rest)


_MIXES: dict[str, Callable[..., nn.Module]] = {
    "identity": Identity,
    "bottleneck": _bottleneck,
    "dense": Dense,
    "grouped": Grouped,
    "per_channel": PerChannel,
    "conv1d": _conv1d,
    "band": _band,
}


def names() -> list[str]:
    """The mixes there are."""
    return list(_MIXES)


def get(name: str, **options: Any) -> Callable[..., nn.Module]:
    """What makes the mix called `name`; options that it does not take are refused.

    Raises:
        UsageError: Unknown name, an option it does not take, or one it needs and lacks.
    """
    if name not in _MIXES:
        valid = list(_MIXES)
        raise UsageError(
            f"unknown mix {name!r}; valid: {', '.join(valid)}.{did_you_mean(name, valid)}"
        )
    parameters = inspect.signature(_MIXES[name]).parameters
    takes = [p for p in parameters if p not in ("param_dtype", "parent", "name", "rest")]
    for option in set(options) - {"param_dtype"}:
        if option not in takes:
            raise UsageError(
                f"mix {name!r} takes no option {option!r}; it takes: {', '.join(takes) or 'none'}"
            )
    for option in takes:
        if parameters[option].default is inspect.Parameter.empty and option not in options:
            raise UsageError(f"mix {name!r} needs the option {option!r}")
    return partial(_MIXES[name], **options)
