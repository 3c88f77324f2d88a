"""Convolutional block attention. Woo, Park, Lee, Kweon; ECCV 2018; arXiv:1807.06521.

    channel:  w = sigmoid(M(mean_p x_p) + M(max_p x_p)),  M = W2 relu(W1 .) shared;   x' = x w
    spatial:  q = sigmoid(BN(conv_7x7([max_c x'; mean_c x'])));                         y = x' q

Official code and timm disagree, and weights do not carry over unless the preset fits:

    preset      width d       biases of M   order of the two maps   BN momentum   BN scale at start
    official    floor(C/16)   yes           max, mean               0.99          0 (q = 0.5)
    timm        round(C/16)   no            mean, max               0.9           1

(momentum in Flax's sense.) The paper's equation for q has no batch norm; both codes have it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention import gate, mix
from chanattn.attention import squeeze as squeezes
from chanattn.attention.core import ChannelAttention, over_space, refuse_condition, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import divisible_width, floor_width
from chanattn.errors import UsageError
from chanattn.layers import Conv, batch_norm


@dataclass(frozen=True)
class _Preset:
    divisor: int | None  # None: floor(C / r)
    use_bias: bool
    max_first: bool
    momentum: float
    scale_init: nn.initializers.Initializer


PRESETS = {
    "official": _Preset(None, True, True, 0.99, nn.initializers.zeros),
    "timm": _Preset(1, False, False, 0.9, nn.initializers.ones),
}


class SpatialAttention(nn.Module):
    """One weight a position from the maximum and the mean over the channels. 2 k^2 + 2 parameters."""

    kernel_size: int = 7
    max_first: bool = True
    momentum: float = 0.99
    scale_init: nn.initializers.Initializer = nn.initializers.zeros
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the positions of (N, H, W, C)."""
        x32 = x.astype(jnp.float32)
        maps = [jnp.max(x32, axis=-1), jnp.mean(x32, axis=-1)]
        z = Conv(1, self.kernel_size, param_dtype=self.param_dtype, name="conv")(
            jnp.stack(maps if self.max_first else maps[::-1], axis=-1)
        )
        z = batch_norm(
            train,
            name="bn",
            momentum=self.momentum,
            scale_init=self.scale_init,
            param_dtype=self.param_dtype,
        )(z)
        weights = gate.sigmoid(z)
        sow_weights(self, weights)
        return x * over_space(weights, x)


@register(
    "cbam",
    citation="Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. "
    "arXiv:1807.06521",
)
class CBAM(nn.Module):
    """Channel, then spatial attention. 2 C d (+ C + d) + 2 k^2 + 2 parameters; 0.25 at zero logits.

    Attributes:
        reduction: r of the bottleneck width d = C / r.
        preset: "official" or "timm", see the head of this file.
        squeeze: Descriptors that share the bottleneck; "mean" or "max" alone for the paper's Table 1,
            "mean+max+l2+lse" for all four of the official code.
        spatial: False leaves the channel gate alone.
        kernel_size: Of the spatial convolution.
        use_bias: Biases of the bottleneck; None: the preset's choice.
        param_dtype: Type of the parameters.
    """

    reduction: int = 16
    preset: str = "official"
    squeeze: str = "mean+max"
    spatial: bool = True
    kernel_size: int = 7
    use_bias: bool | None = None
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"cbam: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        if self.reduction < 1:
            raise UsageError(f"cbam: reduction must be positive, not {self.reduction}")
        mix.check_odd(self.kernel_size)
        squeezes.get(self.squeeze)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Reweigh the channels, then the positions, of (N, H, W, C)."""
        refuse_condition(self, condition)
        preset = PRESETS[self.preset]
        width = (
            partial(floor_width, reduction=self.reduction)
            if preset.divisor is None
            else partial(divisible_width, reduction=self.reduction, divisor=preset.divisor)
        )
        channel = ChannelAttention(
            squeeze=squeezes.get(self.squeeze),
            mix=partial(
                mix.Bottleneck,
                width=width,
                use_bias=preset.use_bias if self.use_bias is None else self.use_bias,
                param_dtype=self.param_dtype,
            ),
            gate=gate.sigmoid,
            name="channel",
        )
        x = channel(x, train=train)
        if not self.spatial:
            return x
        spatial = SpatialAttention(
            self.kernel_size,
            preset.max_first,
            preset.momentum,
            preset.scale_init,
            self.param_dtype,
            name="spatial",
        )
        return spatial(x, train=train)
