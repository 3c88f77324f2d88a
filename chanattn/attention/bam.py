"""Bottleneck attention. Park, Woo, Lee, Kweon; BMVC 2018; arXiv:1807.06514.

    c = W2 relu(BN(W1 mean_p x_p)),  W1: C -> d, W2: d -> C                         one logit a channel
    s = conv_1x1(f f f x),  f = relu(BN(conv(.))): 1x1 to d, then two dilated 3x3   one logit a position
    y = x (1 + sigmoid(z)),  z = c s or c + s

All layers have biases; d = C / 16, dilation 4. It sits at the end of a stage, before the map shrinks.

The paper adds the two branches (`preset="paper"`), the authors' code multiplies them ("official", the
default). As published the code does not run (it reads an undefined activation), and it pools with windows of
H x H, so that it fails or drops columns on maps that are not square; here the mean is that of the whole map.
The code fails for C < 16; here d is at least 1.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention import mix
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space, residual
from chanattn.attention.module import Attention, sow_weights, weigh
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule_of
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv

PRESETS = ("official", "paper")


class SpatialLogits(nn.Module):
    """One logit a position from a bottleneck of dilated convolutions, (N, H, W, C) -> (N, H, W, 1), float32.

    C d + 18 d^2 + 10 d + 1 parameters.
    """

    width: int
    dilation: int = 4
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Look at the map."""
        types = {"dtype": x.dtype, "param_dtype": self.param_dtype}
        for number, kernel_size in enumerate((1, 3, 3), 1):
            x = Conv(
                self.width,
                kernel_size,
                dilation=self.dilation,
                use_bias=True,
                name=f"conv{number}",
                **types,
            )(x)
            x = nn.relu(BatchNorm(train, name=f"bn{number}", **types)(x))
        return Conv(1, 1, use_bias=True, name="conv4", **types)(x).astype(jnp.float32)


@register(
    "bam",
    year=2018,
    axes=("mean", "bottleneck; dilated convolutions for space", "1 + sigmoid of their product"),
    placement="stage_end",
    citation="Park, Woo, Lee, Kweon. BAM: Bottleneck Attention Module. BMVC 2018. arXiv:1807.06514",
    parameters="3 C d + C + 18 d^2 + 13 d + 1",
)
class BAM(Attention):
    """A channel and a spatial branch, joined in one gate between 1 and 2.

    d = max(C / 16, 1). 1.5 at zero logits.

    Attributes:
        reduction: r of the bottleneck width d = C / r of both branches.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        preset: "official" (product of the branches) or "paper" (sum).
        dilation: Of the two 3x3 convolutions.
        gate: A soft or hard gate of `functional.gate`; the weights are 1 + gate.
    """

    reduction: int = 16
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    preset: str = "official"
    dilation: int = 4
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"bam: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        self._width_rule()
        if self.dilation < 1:
            raise UsageError(f"bam: dilation must be positive, not {self.dilation}")
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "bam")

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Strengthen channels and positions of (N, H, W, C)."""
        x = self.feature_map(x)
        width = self._width_rule()(x.shape[-1])
        channel = mix.Bottleneck(
            width, use_norm=True, param_dtype=self.param_dtype, name="channel"
        )(squeeze.mean(x), train=train)[:, None, None, :]
        spatial = SpatialLogits(width, self.dilation, self.param_dtype, name="spatial")(
            x, train=train
        )
        logits = channel * spatial if self.preset == "official" else channel + spatial
        weights = weigh(self, gates.get(self.gate), logits, train)
        weights = sow_weights(self, weights, plus=1)
        return residual(x, over_space(weights, x))
