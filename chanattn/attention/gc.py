"""Global context. Cao, Xu, Lin, Wei, Hu; ICCVW 2019, TPAMI 2020; arXiv:1904.11492.

    m = softmax over p of (v . x_p + c);   u = sum_p m_p x_p
    t(u) = W2 relu(LN(W1 u + b1)) + b2,  W1: C -> d, W2: d -> C
    fuse "add": y = x + t(u);   "mul": y = x sigmoid(t(u));   "both": y = x sigmoid(t1(u)) + t2(u)

Both transforms of "both" see the context of the x that came in. With pooling "avg" the context is the plain
mean. The paper, the authors' code (mmcv's ContextBlock) and the pretrained models of timm (its 'gca') add,
so that is the default; timm's name 'gc' multiplies.

    preset      d              eps of LN   W2, b2 at start
    official    floor(C/16)    1e-5        0 in both transforms
    timm        round(C/8)     1e-6        W2 = 0 in the transform that is added

Published detectors use d = C/16 and C/4 (`reduction=4`). Added, the block starts as the identity. A layer
norm over one value is constant, and over two values a sign, which leaves the context without influence or
without gradient. So the preset official has d of 4 at least, where the original has no bound (`min_width=1`).
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, of_block_input, width_rule
from chanattn.errors import UsageError
from chanattn.layers import Conv, activation, dense
from chanattn.layers.conv import he_normal_fan_out


@dataclass(frozen=True)
class _Preset:
    rounding: str
    reduction: int
    min_width: int
    epsilon: float
    zero_scale: bool  # W2 of the multiplicative transform starts at zero


PRESETS = {
    "official": _Preset("paper", 16, 4, 1e-5, True),
    "timm": _Preset("timm", 8, 1, 1e-6, False),
}
FUSES = ("add", "mul", "both")
POOLINGS = ("att", "avg")


def shares_of(logits: jax.Array) -> jax.Array:
    """The shares m, the softmax of the logits (N, H, W) over all positions, in float32."""
    return jax.nn.softmax(logits.astype(jnp.float32), axis=(1, 2))


def attention_pool(x: jax.Array, shares: jax.Array) -> jax.Array:
    """The context u (N, C) in float32 of a map with shares (N, H, W)."""
    # Of an einsum over both axes, XLA:CPU makes a copy of x in which the positions come last.
    return jnp.sum(shares[:, :, None] @ x.astype(jnp.float32), axis=(1, 2))


class Transform(nn.Module):
    """t(u) = W2 relu(LN(W1 u + b1)) + b2 on (N, C). 2 C d + C + 3 d parameters.

    Attributes:
        width: d.
        epsilon: Of the layer norm.
        zero: W2 starts at zero.
        act: Name of the activation, in place of ReLU.
        param_dtype: Type of the parameters.
    """

    width: int
    epsilon: float
    zero: bool
    act: str = "relu"
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, u: jax.Array) -> jax.Array:
        """Map (N, C) to (N, C)."""
        z = dense(self.width, name="reduce", param_dtype=self.param_dtype)(u)
        z = nn.LayerNorm(
            self.epsilon, param_dtype=self.param_dtype, use_fast_variance=False, name="norm"
        )(z)
        expand = nn.Dense(
            u.shape[-1],
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.zeros if self.zero else he_normal_fan_out,
            name="expand",
        )
        return expand(activation(self.act)(z))


@register(
    "gc",
    year=2019,
    axes=("softmax over positions", "bottleneck with layer norm", "added, or sigmoid"),
    identity_at_init=True,
    identity_if=lambda module: module.fuse == "add",
    citation="Cao, Xu, Lin, Wei, Hu. GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond. "
    "ICCV Workshops 2019. arXiv:1904.11492",
    parameters="2 C d + 2 C + 3 d + 1",
)
class GlobalContext(Attention):
    """Global context: positions pooled by a softmax, a bottleneck, and its result added to every position.

    d = max(C // 16, 4). A second transform ("both") adds 2 C d + C + 3 d, average pooling saves C + 1.

    Attributes:
        preset: "official" or "timm", see the head of this file.
        fuse: "add" (x + t), "mul" (x sigmoid(t)) or "both" (multiply, then add).
        pooling: "att" (softmax over the positions) or "avg".
        reduction: r of d = C / r; None: the preset's.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 1.
        min_width: Least d; None: the preset's, 4 (official) or 1 (timm).
        reduce_from: As in `SE`: "channels" (of x), or "block_input".
        act: Name of the activation in the bottleneck.
        gate: What makes a weight of t in "mul" and "both", a soft or hard gate of `functional.gate`.
        block_input: Channels of the block's input, which the block gives.
    """

    preset: str = "official"
    fuse: str = "add"
    pooling: str = "att"
    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    reduce_from: str = "channels"
    act: str = "relu"
    gate: str | gates.Gate = "sigmoid"
    block_input: int | None = None

    def __post_init__(self) -> None:
        for option, valid in (("preset", PRESETS), ("fuse", FUSES), ("pooling", POOLINGS)):
            if getattr(self, option) not in valid:
                raise UsageError(
                    f"gc: unknown {option} {getattr(self, option)!r}; valid: {', '.join(valid)}"
                )
        self._width_rule()
        activation(self.act)
        gate = gates.get(self.gate)
        if self.fuse == "add" and gate != gates.get("sigmoid"):
            raise UsageError(f"gc: fuse 'add' has no gate, so {gate.name!r} needs 'mul' or 'both'")
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        preset = PRESETS[self.preset]
        rule = width_rule(
            self.rounding or preset.rounding,
            preset.reduction if self.reduction is None else self.reduction,
            owner="gc",
            width=self.width,
            divisor=self.divisor,
            min_width=preset.min_width if self.min_width is None else self.min_width,
            default_divisor=1,
        )
        return of_block_input(rule, self.reduce_from, self.block_input)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Bring the context of (N, H, W, C) to every position; the shape and the type stay."""
        x = self.feature_map(x)
        context = self._context(x)
        preset = PRESETS[self.preset]

        def transform(zero: bool, name: str) -> jax.Array:
            width = self._width_rule()(x.shape[-1])
            layers = Transform(width, preset.epsilon, zero, self.act, self.param_dtype, name=name)
            return layers(context)

        y = x
        if self.fuse != "add":
            logits = transform(preset.zero_scale, "mul")
            weights = self.weigh(logits, train)
            y = y * over_space(weights, x)
        if self.fuse != "mul":
            shift = transform(True, "add")
            shift = sow_weights(self, shift, "shift")
            y = y + over_space(shift, x)
        return y

    def _context(self, x: jax.Array) -> jax.Array:
        if self.pooling == "avg":
            return squeeze.mean(x)
        mask = Conv(
            1,
            1,
            use_bias=True,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.he_normal(),
            name="mask",
        )
        shares = sow_weights(self, shares_of(mask(x)[..., 0]), "spatial")
        return attention_pool(x, shares)
