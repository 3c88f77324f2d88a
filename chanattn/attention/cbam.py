"""Convolutional block attention. Woo, Park, Lee, Kweon; ECCV 2018; arXiv:1807.06521.

    channel:  w = sigmoid(M(mean_p x_p) + M(max_p x_p)),  M = W2 relu(W1 .) shared;   x' = x w
    spatial:  q = sigmoid(BN(conv_7x7([max_c x'; mean_c x'])));                         y = x' q

Official code and timm disagree, and weights do not carry over unless the preset fits:

    preset      width d       biases of M   maps of the convolution   BN momentum   BN scale at start
    official    floor(C/16)   yes           max, mean                 0.99          0 (q = 0.5)
    timm        round(C/16)   no            mean, max                 0.9           1
    light       round(C/16)   no            (mean + max) / 2          0.9           1

(momentum in Flax's sense.) The paper's equation for q has no batch norm; both codes have it.
"official" is the default: what the paper's results come from. timm has no trained weights.

The paper's ablations: `maps="conv"` (Table 2) sees the channels through one learned 1x1 convolution instead
of their maximum and mean. `combine` (Table 3) puts the positions first, or weighs both at once as BAM does,
w = sigmoid(M(..) + BN(conv(..))), with the logits of the two gates added at every channel and position.

`cbam_light`, timm's experiment (`LightCbamModule`), is "light": the bottleneck sees
(mean_p x_p + max_p x_p) / 2, once, and the convolution one map. timm ignores the gate that one asks for
there; here it counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention import mix
from chanattn.attention.channel import ChannelAttention
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, refuse_unused, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, maximum

CITATION = (
    "Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. arXiv:1807.06521"
)


@dataclass(frozen=True)
class _Preset:
    rounding: str
    use_bias: bool
    squeeze: str
    maps: str
    momentum: float
    scale_init: nn.initializers.Initializer


PRESETS = {
    "official": _Preset("paper", True, "mean+max", "max+mean", 0.99, nn.initializers.zeros),
    "timm": _Preset("timm", False, "mean+max", "mean+max", 0.9, nn.initializers.ones),
    "light": _Preset("timm", False, "blend", "blend", 0.9, nn.initializers.ones),
}

MAPS = ("max+mean", "mean+max", "blend", "conv")
COMBINES = ("channel_first", "spatial_first", "parallel")


def maps_over_channels(x: jax.Array, maps: str) -> jax.Array:
    """(N, H, W, C) -> (N, H, W, K), float32: statistics of the channels at every position.

    `maps` is "max+mean", "mean+max" (K = 2, in that order) or "blend" (K = 1, half of each).
    """
    x = x.astype(jnp.float32)
    statistics = {"max": maximum(x, -1), "mean": jnp.mean(x, axis=-1)}
    if maps == "blend":
        return 0.5 * (statistics["max"] + statistics["mean"])[..., None]
    return jnp.stack([statistics[name] for name in maps.split("+")], axis=-1)


class SpatialAttention(nn.Module):
    """One weight a position from the maximum and the mean over the channels.

    2 k^2 + 2 parameters; k^2 + 2 for the one map "blend", and C more for "conv", that of a 1x1 convolution.
    """

    kernel_size: int = 7
    maps: str = "max+mean"
    momentum: float = 0.99
    scale_init: nn.initializers.Initializer = nn.initializers.zeros
    param_dtype: Any = jnp.float32

    @nn.compact
    def logits(self, x: jax.Array, train: bool) -> jax.Array:
        """The z (N, H, W, 1) of (N, H, W, C), in float32."""
        layer = {"param_dtype": self.param_dtype}
        maps = (
            Conv(1, 1, name="pool", **layer)(x.astype(jnp.float32))
            if self.maps == "conv"
            else maps_over_channels(x, self.maps)
        )
        z = Conv(1, self.kernel_size, name="conv", **layer)(maps)
        norm = BatchNorm(
            train,
            name="bn",
            momentum=self.momentum,
            scale_init=self.scale_init,
            **layer,
        )
        return norm(z)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the positions of (N, H, W, C)."""
        weights = gates.sigmoid(self.logits(x, train))
        weights = sow_weights(self, weights)
        return x * over_space(weights, x)


@register(
    "cbam",
    year=2018,
    axes=("mean and max", "shared bottleneck", "sigmoid; then a spatial gate"),
    citation=CITATION,
    parameters="2 C d + C + d + 2 k^2 + 2",
)
class CBAM(Attention):
    """Channel attention from mean and maximum, then spatial attention.

    d = max(C // 16, 1), k = 7; without biases (timm) C + d fewer. 0.25 at zero logits.

    Attributes:
        reduction: r of the bottleneck width d = C / r.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 1.
        min_width: Least d; None: 1, or the divisor.
        preset: "official", "timm" or "light", see the head of this file.
        squeeze: Descriptors that share the bottleneck; None: the preset's choice, "mean+max" of the first
            two. "mean" or "max" alone for the paper's Table 1, "mean+max+l2+lse" for all four of the
            official code.
        gate: Of the channels: a soft or hard gate of `functional.gate`. That of the positions is a sigmoid.
            In "parallel" it is that of the sums, with the channels of every position for itself.
        combine: "channel_first", "spatial_first" or "parallel", see the head of this file.
        spatial: False leaves the channel gate alone.
        maps: What the spatial convolution sees: "max+mean", "mean+max", "blend" or "conv"; None: the preset's
            choice.
        kernel_size: Of the spatial convolution.
        use_bias: Biases of the bottleneck; None: the preset's choice.
    """

    reduction: int = 16
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    preset: str = "official"
    squeeze: str | None = None
    gate: str | gates.Gate = "sigmoid"
    combine: str = "channel_first"
    spatial: bool = True
    maps: str | None = None
    kernel_size: int = 7
    use_bias: bool | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"cbam: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        self._width_rule()
        if self.combine not in COMBINES:
            raise UsageError(
                f"cbam: unknown combine {self.combine!r}; valid: {', '.join(COMBINES)}"
            )
        if self.maps is not None and self.maps not in MAPS:
            raise UsageError(f"cbam: unknown maps {self.maps!r}; valid: {', '.join(MAPS)}")
        if not self.spatial:
            refuse_unused(self, "cbam: spatial=false", "combine", "maps", "kernel_size")
        mix.check_odd(self.kernel_size)
        squeezes.get(self._squeeze)
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule(
            self.rounding or PRESETS[self.preset].rounding,
            self.reduction,
            owner="cbam",
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
            default_divisor=1,
        )

    @property
    def _squeeze(self) -> str:
        return PRESETS[self.preset].squeeze if self.squeeze is None else self.squeeze

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels, then the positions, of (N, H, W, C), or in another order."""
        x = self.feature_map(x)
        if not self.spatial:
            return self._channel_gate()(x, train=train)
        if self.combine == "parallel":
            z = self._mix()(name="channel")(squeezes.get(self._squeeze)(x), train=train)
            z = z[:, None, None] + self._spatial_gate().logits(x, train)
            weights = self.weigh(z, train)
            return x * over_space(weights, x)
        steps: list[nn.Module] = [self._channel_gate(), self._spatial_gate()]
        for step in steps if self.combine == "channel_first" else steps[::-1]:
            x = step(x, train=train)
        return x

    @nn.nowrap
    def _mix(self) -> Callable[..., nn.Module]:
        chosen = PRESETS[self.preset]
        return partial(
            mix.Bottleneck,
            width=self._width_rule(),
            use_bias=chosen.use_bias if self.use_bias is None else self.use_bias,
            param_dtype=self.param_dtype,
        )

    def _channel_gate(self) -> ChannelAttention:
        return ChannelAttention(
            squeeze=squeezes.get(self._squeeze),
            mix=self._mix(),
            gate=gates.get(self.gate),
            name="channel",
        )

    def _spatial_gate(self) -> SpatialAttention:
        chosen = PRESETS[self.preset]
        return SpatialAttention(
            self.kernel_size,
            self.maps or chosen.maps,
            chosen.momentum,
            chosen.scale_init,
            self.param_dtype,
            name="spatial",
        )


@register(
    "cbam_light",
    axes=("mean and max, half each", "bottleneck", "sigmoid; then a spatial gate"),
    parameters="2 C d + k^2 + 2",
    year=2020,
    citation=CITATION + " (timm's LightCbamModule)",
)
class CBAMLight(CBAM):
    """Channel and spatial attention, each from half the mean plus half the maximum.

    d = C / 16, rounded, at least 1; k = 7. 0.25 at zero logits. Options as of `CBAM`.
    """

    preset: str = field(default="light", init=False)
