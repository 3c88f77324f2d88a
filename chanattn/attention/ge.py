"""Gather-excite. Hu, Shen, Albanie, Sun, Vedaldi; NeurIPS 2018; arXiv:1810.12348.

    y = x sigmoid(up(gather(x))),  gather over an extent e of 2, 4, 8 or the whole map (0)

    variant       gather                                            then
    theta_minus   mean over (2e - 1)^2 cells, stride e; global: mean
    theta         log2(e) depthwise 3x3 convolutions of stride 2    batch norm; ReLU between, not after
                  global: one depthwise convolution of the map's own size
    theta_plus    as theta                                          ReLU, then SE's two layers
    mlp           as theta_minus                                    SE's two layers

Cells beyond the border do not count in the mean. `up` repeats nearest cells: row i takes gathered row
floor(i h / H), in whole numbers (PyTorch's float32 arithmetic is one row off on a few maps of 122 rows and
more). The published ResNet-50s are global: theta_minus, theta (31.2 M parameters) and theta_plus (33.7 M).
`mlp` is timm's default, and at the global extent SE.

Global theta ties its kernels to the size of the map that the parameters are initialised with. Another size
is an error.

    preset     theta_plus                  global theta, theta_plus                        width d
    official   ReLU after the last norm    one weighted sum of the map                     floor(C/16)
    timm       none                        the convolution is padded by (size - 1) // 2,   round(C/16)
                                           which gives a map and not one value

timm's padded kernel works on other sizes too. The ReLU is that of the authors' network definitions, whose
convolutions have no biases; those of a third party's copy do (`use_bias=True`).
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.attention import mix
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, avg_pool, nearest


@dataclass(frozen=True)
class _Variant:
    learned: bool  # the gather has parameters
    bottleneck: bool


@dataclass(frozen=True)
class _Preset:
    rounding: str
    last_relu: bool
    padded: bool  # the global convolution


VARIANTS = {
    "theta_minus": _Variant(learned=False, bottleneck=False),
    "theta": _Variant(learned=True, bottleneck=False),
    "theta_plus": _Variant(learned=True, bottleneck=True),
    "mlp": _Variant(learned=False, bottleneck=True),
}
PRESETS = {
    "official": _Preset("paper", last_relu=True, padded=False),
    "timm": _Preset("timm", last_relu=False, padded=True),
}
EXTENTS = (0, 2, 4, 8)
_OF_BOTTLENECK = ("reduction", "width", "rounding", "divisor", "min_width")

# msra in Caffe, which the published networks start from.
_msra = nn.initializers.he_normal()


def gather_mean(x: jax.Array, extent: int) -> jax.Array:
    """Means in float32: (N, C) over the whole map (extent 0), or (N, ceil(H / e), ceil(W / e), C)."""
    if extent == 0:
        return squeeze.mean(x)
    return avg_pool(x.astype(jnp.float32), 2 * extent - 1, extent, extent - 1, count_padding=False)


class MapConv(nn.Module):
    """Depthwise convolution with a kernel of the map's own size at initialisation. P C (+ C) parameters.

    Attributes:
        padded: Pad by (size - 1) // 2, which gives a map (N, H', W', C); else (N, C).
        use_bias: Whether a bias is added.
        param_dtype: Type of the parameters.
    """

    padded: bool
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (N, H, W, C).

        Raises:
            UsageError: The map has another size than the kernel, and there is no padding.
        """
        size, channels = x.shape[1:3], x.shape[-1]
        if self.has_variable("params", "kernel"):
            size = self.get_variable("params", "kernel").shape[:2]
        if not self.padded and size != x.shape[1:3]:
            raise UsageError(
                f"ge: the global kernel is for maps of {size[0]}x{size[1]}, not "
                f"{x.shape[1]}x{x.shape[2]}; valid on all sizes: variant 'theta_minus', or an extent"
            )
        kernel = self.param("kernel", _msra, (*size, 1, channels), self.param_dtype)
        if self.padded:
            y = lax.conv_general_dilated(
                x,
                kernel.astype(x.dtype),
                window_strides=(1, 1),
                padding=[((k - 1) // 2, (k - 1) // 2) for k in size],
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=channels,
            )
        else:
            y = jnp.einsum(
                "nhwc,hwc->nc", x.astype(jnp.float32), kernel[:, :, 0].astype(jnp.float32)
            )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
            y = y + bias.astype(y.dtype)
        return y


class Gather(nn.Module):
    """Depthwise convolutions with batch norms, ReLU between them.

    Attributes:
        extent: Of the gather: 2, 4, 8, or 0 for the whole map.
        padded: See `MapConv`.
        last_relu: A ReLU after the last norm too.
        use_bias: Biases of the convolutions.
        param_dtype: Type of the parameters.
    """

    extent: int
    padded: bool
    last_relu: bool
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """(N, H, W, C) -> (N, C) at the global extent, else (N, ceil(H / e), ceil(W / e), C)."""
        layer = {"use_bias": self.use_bias, "param_dtype": self.param_dtype}
        count = self.extent.bit_length() - 1 if self.extent else 1
        for number in range(1, count + 1):
            conv = (
                Conv(
                    x.shape[-1],
                    stride=2,
                    groups=x.shape[-1],
                    dtype=x.dtype,
                    kernel_init=_msra,
                    name=f"conv{number}",
                    **layer,
                )
                if self.extent
                else MapConv(self.padded, name=f"conv{number}", **layer)
            )
            x = conv(x)
            norm = BatchNorm(
                train, name=f"norm{number}", dtype=x.dtype, param_dtype=self.param_dtype
            )
            x = norm(x)
            if number < count or self.last_relu:
                x = nn.relu(x)
        return x


@register(
    "ge",
    year=2018,
    axes=("mean, or depthwise convolutions, over an extent", "identity or bottleneck", "sigmoid"),
    citation="Hu, Shen, Albanie, Sun, Vedaldi. Gather-Excite: Exploiting Feature Context in Convolutional "
    "Neural Networks. NeurIPS 2018. arXiv:1810.12348",
    parameters="0",
)
class GatherExcite(Attention):
    """Gather-excite: a context gathered around every position gates it.

    theta adds 11 C log2(e), or (P + 2) C at the global extent on maps of P positions; theta_plus and mlp
    add 2 C d + C + d, d = C / 16.

    Attributes:
        variant: "theta_minus" (no parameters), "theta", "theta_plus" or "mlp", see the head of this file.
        extent: e: 2, 4, 8, or 0 for the whole map.
        preset: "official" or "timm".
        reduction: r of the bottleneck width d = C / r of theta_plus and mlp, as are the next four; None: 16.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 1.
        min_width: Least d; None: 1, or the divisor.
        use_bias: Biases of the gather's convolutions.
        gate: A soft or hard gate of `functional.gate`, applied to every gathered cell.
    """

    variant: str = "theta_minus"
    extent: int = 0
    preset: str = "official"
    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    use_bias: bool = False
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        for option, valid in (("variant", VARIANTS), ("extent", EXTENTS), ("preset", PRESETS)):
            if getattr(self, option) not in valid:
                raise UsageError(
                    f"ge: unknown {option} {getattr(self, option)!r}; "
                    f"valid: {', '.join(map(str, valid))}"
                )
        if self.use_bias and not VARIANTS[self.variant].learned:
            raise UsageError(
                f"ge: use_bias needs convolutions, which variant {self.variant!r} has not"
            )
        gates.get(self.gate)
        self._width_rule()
        given = [o for o in _OF_BOTTLENECK if getattr(self, o) is not None]
        if given and not VARIANTS[self.variant].bottleneck:
            raise UsageError(
                f"ge: {given[0]} needs a bottleneck, which variant {self.variant!r} has not"
            )
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule(
            self.rounding or PRESETS[self.preset].rounding,
            16 if self.reduction is None else self.reduction,
            owner="ge",
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
            default_divisor=1,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh (N, H, W, C).

        Raises:
            UsageError: A global kernel meets a map of another size.
        """
        x = self.feature_map(x)
        variant, preset = VARIANTS[self.variant], PRESETS[self.preset]
        if variant.learned:
            gather = Gather(
                self.extent,
                preset.padded,
                preset.last_relu and variant.bottleneck,
                self.use_bias,
                self.param_dtype,
                name="gather",
            )
            logits = gather(x, train=train).astype(jnp.float32)
        else:
            logits = gather_mean(x, self.extent)
        if variant.bottleneck:
            bottleneck = mix.Bottleneck(
                self._width_rule(), param_dtype=self.param_dtype, name="mix"
            )
            logits = bottleneck(logits, train=train)
        weights = self.weigh(logits, train)
        if weights.ndim == x.ndim:
            weights = nearest(weights, x.shape[1:3])
        return x * over_space(weights, x)
