"""Split attention (ResNeSt). Zhang, Wu, Zhang, Zhu, Lin, ..., Smola; CVPRW 2022; arXiv:2004.08955.

    U = relu(BN(conv_3x3(x))), C_in -> R C channels in K R groups, read as R splits of C channels
    s = mean_p sum_r U_r;   z = relu(BN(F1 s + b1)), F1: C -> d in K groups
    g = F2 z + b2, F2: d -> R C in K groups
    a_r = softmax over r of g_r, for every channel (R = 1: sigmoid);   y = sum_r a_r U_r

Order of channels: the map U is radix-major (split slowest); the output of F2 is cardinality-major (group
slowest, then split), so it is regrouped before the softmax. Confusing the two goes unnoticed when R or K
is 1. d = max(C_in R / 4, 32); timm rounds d to a multiple of 8 (`rounding="timm"`),
and its `rd_channels` is d / R. Both layers have biases,
as in both reference codes. With `avd`, a strided block pools 3x3 (padding counted) instead of striding
the convolution (Section 4.1).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import ConvAttention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, GroupedDense, avg_pool

_MIN_WIDTH = 32


def radix_softmax(logits: jax.Array, radix: int, cardinality: int) -> jax.Array:
    """Weights (N, R, C) from cardinality-major logits (N, K R C/K).

    A softmax over the splits, or a sigmoid if there is only one.
    """
    if radix == 1:
        return jax.nn.sigmoid(logits)[:, None, :]
    grouped = logits.reshape(logits.shape[0], cardinality, radix, -1)
    weights = jax.nn.softmax(jnp.swapaxes(grouped, 1, 2), axis=1)
    return weights.reshape(logits.shape[0], radix, -1)


class RadixAttention(nn.Module):
    """Weights of R splits for every channel: (N, H, W, R, C) -> (N, R, C), summing to 1 over R > 1.

    C d / K + d + d R C / K + R C parameters, and 2 d of the norm.

    Attributes:
        width: d.
        groups: Cardinality K.
        use_norm: Batch norm between the layers.
        param_dtype: Type of the parameters.
    """

    width: int
    groups: int = 1
    use_norm: bool = True
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, splits: jax.Array, train: bool = False) -> jax.Array:
        """Weigh the splits."""
        radix, channels = splits.shape[-2:]
        layer = {"groups": self.groups, "param_dtype": self.param_dtype}
        s = jnp.mean(jnp.sum(splits, axis=3, dtype=jnp.float32), axis=(1, 2))
        z = GroupedDense(self.width, name="reduce", **layer)(s)
        if self.use_norm:
            z = BatchNorm(train, name="bn", param_dtype=self.param_dtype)(z)
        logits = GroupedDense(radix * channels, name="expand", **layer)(nn.relu(z))
        return radix_softmax(logits, radix, self.groups)


@register(
    "splat",
    slot="conv",
    placement="conv",
    year=2020,
    axes=("mean of the sum of splits", "grouped bottleneck", "softmax over splits"),
    order_matters=True,
    citation="Zhang, Wu, Zhang, Zhu, Lin, Zhang, Sun, He, Mueller, Manmatha, Li, Smola. ResNeSt: "
    "Split-Attention Networks. CVPRW 2022. arXiv:2004.08955",
    parameters="9 I C + 2 R C + C d + d + 2 d + R C d + R C",
)
class SplitAttention(ConvAttention):
    """R splits of a grouped convolution, mixed by a softmax over the splits for every channel.

    I input channels, R splits, d = max(I R / 4, 32).

    Attributes:
        stride: Of the convolution, or of the pool with `avd`.
        groups: Cardinality K.
        radix: Number of splits R; 1 is squeeze-and-excitation with a norm.
        reduction: d = C_in R / reduction.
        width: d itself, whatever C_in and R are (R times timm's `rd_channels`).
        rounding: "paper" (floor), "timm" or "mobile" (both: to a multiple of `divisor`, never 10 % below).
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 32.
        avd: Stride by average pooling.
        avd_first: Pool before the convolution instead of after ("fast" ResNeSts).
        use_norm: Batch norms after the convolution and in the bottleneck.
        use_bias: Bias of the 3x3 convolution.
    """

    radix: int = 2
    reduction: int = 4
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    avd: bool = True
    avd_first: bool = False
    use_norm: bool = True
    use_bias: bool = False

    def __post_init__(self) -> None:
        if self.radix < 1:
            raise UsageError(f"splat: radix must be positive, not {self.radix}")
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule(
            self.rounding,
            self.reduction,
            owner="splat",
            width=self.width,
            divisor=self.divisor,
            min_width=_MIN_WIDTH if self.min_width is None else self.min_width,
            keep=0.9,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, I) to (N, H', W', filters), H' = ceil(H / stride)."""
        x = self.feature_map(x)
        width = self._width_rule()(x.shape[-1] * self.radix)
        self._check_groups(x.shape[-1], width)
        pooled = self.avd and self.stride > 1
        if pooled and self.avd_first:
            x = avg_pool(x, 3, self.stride, padding=1, count_padding=True)
        u = Conv(
            self.filters * self.radix,
            stride=1 if pooled else self.stride,
            groups=self.groups * self.radix,
            use_bias=self.use_bias,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)
        if self.use_norm:
            layer = {"dtype": x.dtype, "param_dtype": self.param_dtype}
            u = BatchNorm(train, name="bn", act="relu", **layer)(u)
        else:
            u = nn.relu(u)
        splits = u.reshape(*u.shape[:3], self.radix, self.filters)

        weights = RadixAttention(
            width, self.groups, self.use_norm, self.param_dtype, name="attention"
        )(splits, train=train)
        weights = sow_weights(self, weights)
        y = sum(splits[..., r, :] * weights[:, r, None, None] for r in range(self.radix))
        y = y.astype(x.dtype)
        if pooled and not self.avd_first:
            y = avg_pool(y, 3, self.stride, padding=1, count_padding=True)
        return y

    def _check_groups(self, channels: int, width: int) -> None:
        slices = self.groups * self.radix
        if channels % slices or self.filters % self.groups or width % self.groups:
            raise UsageError(
                f"splat: {channels} input channels must divide by radix x groups = {slices}, and "
                f"{self.filters} filters and the bottleneck width {width} by groups = {self.groups}"
            )
