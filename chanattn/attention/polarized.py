"""Polarized self-attention. Liu, Liu, Fan, Huang; 2021; arXiv:2107.00782.

    channel:  s = W_v sum_p softmax_p(W_q x)_p x_p,   W_q: C -> 1, W_v: C -> d
              w = sigmoid(head(s)), one weight a channel
    spatial:  u = W_q' mean_p x_p,   k_p = W_v' x_p,   both C -> d
              m_p = sigmoid(<u, k_p>), one weight a position
    parallel: y = x w + x m;   sequential: x' = x w, y = x' m(x')

with d = C / 2. The paper and the authors' code differ, and so do the two forms in the code:

    preset      form          head                                softmax in the spatial branch        biases
    paper       both          LN(W_z s)                           of u, over its d entries             yes
    official    parallel      W_z s                               of <u, k_p>, over the positions      no
    official    sequential    W_2 relu(LN(W_1 s + b)) + b         of each entry of k, over positions   no

(W_1: d -> d / 4, with biases as W_2.)

The default is "official": the released models come from it. Its parallel spatial gate is sigmoid(softmax):
with a mean of 1 / P the softmax keeps most gates close to 0.5. The paper states no biases; "paper" has those
of a common port (External-Attention), which else follows the equations. The epsilon of LN is 1e-5. Means are
taken before W_v and W_q', at less cost: both are linear.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights, weigh
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, floor_width, width_rule_of
from chanattn.errors import UsageError
from chanattn.layers import Conv, dense


@dataclass(frozen=True)
class _Form:
    head: str  # of the channel branch: "linear", "norm" or "bottleneck"
    softmax: str  # of the spatial branch: "query", "keys" or "positions"
    use_bias: bool


FORMS = {
    ("official", "parallel"): _Form("linear", "positions", use_bias=False),
    ("official", "sequential"): _Form("bottleneck", "keys", use_bias=False),
    ("paper", "parallel"): _Form("norm", "query", use_bias=True),
    ("paper", "sequential"): _Form("norm", "query", use_bias=True),
}
PRESETS = ("official", "paper")
COMBINATIONS = ("parallel", "sequential")


def weighted_mean(x: jax.Array, logits: jax.Array) -> jax.Array:
    """sum_p softmax_p(logits)_p x_p of (N, H, W, C) with logits (N, H, W, 1): (N, C) in float32."""
    attention = jax.nn.softmax(logits.astype(jnp.float32), axis=(1, 2))
    return jnp.sum(attention * x.astype(jnp.float32), axis=(1, 2))


def spatial_logits(query: jax.Array, keys: jax.Array, softmax: str) -> jax.Array:
    """<u, k_p> of (N, d) and (N, H, W, d): (N, H, W, 1) in float32, with the softmax of the form."""
    keys = keys.astype(jnp.float32)
    if softmax == "query":
        query = jax.nn.softmax(query, axis=-1)
    elif softmax == "keys":
        keys = jax.nn.softmax(keys, axis=(1, 2))
    logits = jnp.einsum("nd,nhwd->nhw", query, keys)[..., None]
    return jax.nn.softmax(logits, axis=(1, 2)) if softmax == "positions" else logits


def _project(features: int, name: str, **options: Any) -> Conv:
    """A 1x1 projection, initialised by its inputs as in the official code: W_q has a single output."""
    return Conv(features, 1, kernel_init=nn.initializers.he_normal(), name=name, **options)


class ChannelBranch(nn.Module):
    """One weight a channel from an attention-weighted mean, (N, H, W, C) -> (N, C)."""

    form: _Form
    width: int
    gate: gates.Gate
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Look at the map."""
        channels = x.shape[-1]
        options = {"use_bias": self.form.use_bias, "param_dtype": self.param_dtype}
        logits = _project(1, "query", dtype=x.dtype, **options)(x)
        pooled = weighted_mean(x, logits)[:, None, None, :]
        value = _project(self.width, "value", **options)(pooled)[:, 0, 0]
        weights = weigh(self, self.gate, self._head(value, channels), train)
        return sow_weights(self, weights)

    def _head(self, s: jax.Array, channels: int) -> jax.Array:
        norm = nn.LayerNorm(
            epsilon=1e-5, use_fast_variance=False, param_dtype=self.param_dtype, name="norm"
        )
        if self.form.head == "bottleneck":
            reduce = dense(floor_width(self.width, 4), name="reduce", param_dtype=self.param_dtype)
            expand = dense(channels, name="expand", param_dtype=self.param_dtype)
            return expand(nn.relu(norm(reduce(s))))
        z = dense(
            channels, name="expand", use_bias=self.form.use_bias, param_dtype=self.param_dtype
        )(s)
        return norm(z) if self.form.head == "norm" else z


class SpatialBranch(nn.Module):
    """One weight a position, (N, H, W, C) -> (N, H, W, 1)."""

    form: _Form
    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Look at the map."""
        options = {"use_bias": self.form.use_bias, "param_dtype": self.param_dtype}
        pooled = squeeze.mean(x)[:, None, None, :]
        query = _project(self.width, "query", **options)(pooled)[:, 0, 0]
        keys = _project(self.width, "value", dtype=x.dtype, **options)(x)
        weights = jax.nn.sigmoid(spatial_logits(query, keys, self.form.softmax))
        return sow_weights(self, weights)


@register(
    "polarized",
    year=2021,
    axes=("attention-weighted mean", "two layers", "sigmoid; beside a spatial gate"),
    citation="Liu, Liu, Fan, Huang. Polarized Self-Attention: Towards High-quality Pixel-wise Regression. "
    "2021. arXiv:2107.00782",
    parameters="4 C d + C",
)
class PolarizedSelfAttention(Attention):
    """A channel gate from an attention-weighted mean, and a spatial gate from inner products with the mean.

    d = max(C / 2, 1). Parallel at zero logits: 1 (0.5 from each branch).

    Attributes:
        preset: "official" or "paper", see the head of this file.
        reduction: r of the inner width d = C / r of both branches.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        combine: "parallel" (sum of both results) or "sequential" (channels first).
        spatial: False leaves the channel branch of the chosen form.
        gate: Of the channels: a soft or hard gate of `functional.gate`.
    """

    preset: str = "official"
    reduction: int = 2
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    combine: str = "parallel"
    spatial: bool = True
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        for option, valid in (("preset", PRESETS), ("combine", COMBINATIONS)):
            value = getattr(self, option)
            if value not in valid:
                raise UsageError(
                    f"polarized: unknown {option} {value!r}; valid: {', '.join(valid)}"
                )
        gates.get(self.gate)
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "polarized")

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels and the positions of (N, H, W, C)."""
        x = self.feature_map(x)
        form = FORMS[self.preset, self.combine]
        width = self._width_rule()(x.shape[-1])
        channel = ChannelBranch(form, width, gates.get(self.gate), self.param_dtype, name="channel")
        reweighed = x * over_space(channel(x, train=train), x)
        if not self.spatial:
            return reweighed
        spatial = SpatialBranch(form, width, self.param_dtype, name="spatial")
        if self.combine == "parallel":
            return reweighed + x * over_space(spatial(x), x)
        return reweighed * over_space(spatial(reweighed), x)
