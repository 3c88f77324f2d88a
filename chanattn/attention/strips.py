"""Three relatives of coordinate attention from timm 1.0.31 (`coord_attn.py`).

With u and v the means over the columns (N, H, C) and over the rows (N, W, C), see `coord.py`:

    simple_coord   y = x sigmoid(Wh f(u) + Ww f(v)),  f = silu(W1 .),  d = C / 4 * 2/3 to a multiple of 8
    ela            y = x sigmoid(f_h(u)) sigmoid(f_w(v)),  f = silu(GN(conv(.))), conv depthwise of 7 taps
    strip          y = x sigmoid(conv_h(u) + conv_w(v)),  conv depthwise of 3 taps

ELA is Xu, Wan; 2024; arXiv:2403.01123 (timm gives another paper's title for this number). The group norm of
timm has one group: statistics over all channels and places of a strip. The paper's ELA-B, known from public
copies (its authors published no code), has one convolution and one norm of 16 groups for both strips and no
activation in front of the sigmoid: `preset="paper"`. The default is timm's, the one there is a release of.
The other two are timm's own, without a paper.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.coord import (
    TWO_OF_THREE,
    apply_map,
    outer,
    strip_means,
    weigh_strips,
)
from chanattn.attention.functional import gate as gates
from chanattn.attention.mix import check_odd
from chanattn.attention.module import Attention, refuse_unused
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule_of
from chanattn.errors import UsageError
from chanattn.layers import activation, dense

PRESETS = ("timm", "paper")
_PAPER_GROUPS = 16


def slide(s: jax.Array, kernel: jax.Array) -> jax.Array:
    """Cross-correlate every channel of a strip (N, L, C) with its own taps (k, C), zeros beyond the ends."""
    taps, length = kernel.shape[0], s.shape[1]
    reach = (taps - 1) // 2
    padded = jnp.pad(s, ((0, 0), (reach, reach), (0, 0)))
    return jnp.asarray(sum(kernel[j] * padded[:, j : j + length] for j in range(taps)))


class Slide(nn.Module):
    """Depthwise convolution along a strip (N, L, C). k C parameters, C more with biases."""

    kernel_size: int
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array) -> jax.Array:
        """Convolve."""
        channels = s.shape[-1]

        def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            # PyTorch's default for k inputs: uniform in +-1/sqrt(k).
            bound = self.kernel_size**-0.5
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        y = slide(s, self.param("kernel", init, (self.kernel_size, channels), self.param_dtype))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        return y


class SlideNorm(nn.Module):
    """Depthwise convolution along a strip, then group norm over places and the channels of a group."""

    groups: int
    kernel_size: int
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array) -> jax.Array:
        """Map (N, L, C) to the same shape."""
        if s.shape[-1] % self.groups:
            raise UsageError(
                f"ela: the norm of this preset has {self.groups} groups, which do not divide "
                f"{s.shape[-1]} channels"
            )
        y = Slide(self.kernel_size, self.use_bias, self.param_dtype, name="conv")(s)
        return nn.GroupNorm(
            self.groups,
            epsilon=1e-5,
            use_fast_variance=False,
            param_dtype=self.param_dtype,
            name="norm",
        )(y)


@register(
    "simple_coord",
    year=2025,
    axes=("mean of every row and column", "bottleneck shared by rows and columns", "sigmoid"),
    citation="Wightman. PyTorch Image Models (SimpleCoordAttn), after Hou, Zhou, Feng, arXiv:2103.02907",
    parameters="3 C d + 2 C + d",
)
class SimpleCoordinateAttention(Attention):
    """Coordinate attention without a norm, with one gate of the sum of the row's and the column's logits.

    d = C / 4 * 2/3, to a multiple of 8, at least 8. 0.5 at zero logits.

    Attributes:
        reduction: r of the bottleneck width.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1 of "paper", else the divisor.
        use_bias: Biases of the three layers.
        act: Activation of the bottleneck.
        gate: A soft or hard gate of `functional.gate`.
        skip: Add x to the result.
    """

    reduction: int = 4
    width: int | None = None
    rounding: str = "timm"
    divisor: int | None = None
    min_width: int | None = None
    use_bias: bool = True
    act: str = "silu"
    gate: str | gates.Gate = "sigmoid"
    skip: bool = False

    def __post_init__(self) -> None:
        self._width_rule()
        activation(self.act)
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "simple_coord", share=TWO_OF_THREE)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh every value of (N, H, W, C)."""
        x = self.feature_map(x)
        channels = x.shape[-1]
        layer = {"use_bias": self.use_bias, "param_dtype": self.param_dtype}
        reduce = dense(self._width_rule()(channels), name="reduce", **layer)
        u, v = (activation(self.act)(reduce(s)) for s in strip_means(x))
        a, b = outer(
            dense(channels, name="rows", **layer)(u),
            dense(channels, name="columns", **layer)(v),
        )
        weights = self.weigh(a + b, train)
        return apply_map(x, weights, self.skip)


@register(
    "ela",
    year=2024,
    axes=("mean of every row and column", "depthwise convolution, group norm", "sigmoid"),
    citation="Xu, Wan. ELA: Efficient Local Attention for Deep Convolutional Neural Networks. 2024. "
    "arXiv:2403.01123",
    parameters="2 k C + 4 C",
)
class EfficientLocalAttention(Attention):
    """Row and column gates from depthwise convolutions along the two strips, without a bottleneck.

    k = 7 taps. The paper's preset has half as many, since both strips share the layers. 0.25 at zero logits.

    Attributes:
        preset: "timm" or "paper", see the head of this file.
        kernel_size: k, odd.
        use_bias: Biases of the convolutions.
        gate: A soft or hard gate of `functional.gate`.
        skip: Add x to the result.
    """

    preset: str = "timm"
    kernel_size: int = 7
    use_bias: bool = False
    gate: str | gates.Gate = "sigmoid"
    skip: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"ela: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        check_odd(self.kernel_size)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the rows and the columns of every channel of (N, H, W, C)."""
        x = self.feature_map(x)
        u, v = strip_means(x)
        options = (self.kernel_size, self.use_bias, self.param_dtype)
        if self.preset == "timm":
            u = nn.silu(SlideNorm(1, *options, name="rows")(u))
            v = nn.silu(SlideNorm(1, *options, name="columns")(v))
        else:
            both = SlideNorm(_PAPER_GROUPS, *options, name="both")
            u, v = both(u), both(v)
        weights = weigh_strips(self, gates.get(self.gate), u, v, train)
        return apply_map(x, weights, self.skip)


@register(
    "strip",
    year=2025,
    axes=("mean of every row and column", "depthwise convolution", "sigmoid"),
    citation="Wightman. PyTorch Image Models (StripAttn)",
    parameters="2 k C",
)
class StripAttention(Attention):
    """One gate of the sum of a row's and a column's mean, each smoothed along its strip.

    k = 3 taps.

    Attributes:
        kernel_size: k, odd.
        use_conv: False takes the means as they are, without parameters.
        use_bias: Biases of the convolutions.
        gate: A soft or hard gate of `functional.gate`.
        skip: Add x to the result.
    """

    kernel_size: int = 3
    use_conv: bool = True
    use_bias: bool = False
    gate: str | gates.Gate = "sigmoid"
    skip: bool = False

    def __post_init__(self) -> None:
        check_odd(self.kernel_size)
        gates.get(self.gate)
        if not self.use_conv:
            refuse_unused(self, "strip: use_conv=false", "kernel_size", "use_bias")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh every value of (N, H, W, C)."""
        x = self.feature_map(x)
        u, v = strip_means(x)
        if self.use_conv:
            layer = (self.kernel_size, self.use_bias, self.param_dtype)
            u, v = Slide(*layer, name="conv_rows")(u), Slide(*layer, name="conv_columns")(v)
        a, b = outer(u, v)
        weights = self.weigh(a + b, train)
        return apply_map(x, weights, self.skip)
