"""Bilinear attentional transforms. Chi, Yuan, Mu, Xu; CVPR 2020.

    t = f(x), C -> d;   f = relu(BN(conv_1x1(.))), a new one each time
    u = f(t), d -> G, one map a group; its maxima in b bands of rows, u_r, and in b bands of columns, u_c
    P_g = sigmoid(W_r u_r), each row divided by its sum
    Q_g = sigmoid(W_c u_c), each column divided by its sum
    s = P_g t Q_g on bands: the (b, b) matrix P_g mixes bands of rows and Q_g bands of columns, for every
        channel of group g
    y = x + dropout(f(f(s)));   dropout drops whole channels

    preset      width d                     groups G    biases of f    place
    official    C / 2                       4           yes            between blocks
    timm        C / 4 to a multiple of 8    2           no             where SE sits

"official", the default, is what the published networks used. It resizes Q by the height of the map, right for
square maps alone; here, as in timm, Q goes by the width. Both fix b = 7, which divides the maps of ImageNet
and no map of CIFAR, and refuse other maps; here b is by default the largest number up to 7 that divides both
sides: 7 for 56, 28, 14 and 7; 4 for 32, 16 and 8. A map whose sides have no common divisor has b = 1, where
P = Q = 1 and the transform is the identity. The shapes of W_r and W_c follow from b, so parameters fit maps
of their own b alone.

Dropout is 0.2 as in both codes, and needs the random stream `dropout` in training, which the training loop
provides; `drop_rate=0` goes without.
"""

from dataclasses import dataclass
from math import gcd
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, dense, maximum

LARGEST_BLOCK = 7


@dataclass(frozen=True)
class _Preset:
    reduction: int
    groups: int
    use_bias: bool


PRESETS = {
    "official": _Preset(2, 4, use_bias=True),
    "timm": _Preset(4, 2, use_bias=False),
}


def common_block(height: int, width: int) -> int:
    """The largest number up to 7 that divides both sides of a map."""
    common = gcd(height, width)
    return max(b for b in range(1, LARGEST_BLOCK + 1) if common % b == 0)


def bilinear(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Mix bands of rows and of columns of (N, H, W, C) by (N, G, b, b), a matrix for every group."""
    n, height, width, channels = x.shape
    groups, b = rows.shape[1:3]
    bands = x.reshape(n, b, height // b, b, width // b, groups, channels // groups)
    mixed = jnp.einsum("ngij,njrksgc->nirksgc", rows, bands)
    return jnp.einsum("nirksgc,ngkl->nirlsgc", mixed, columns).reshape(x.shape)


class ConvNormReLU(nn.Module):
    """1x1 convolution, batch norm, ReLU."""

    features: int
    use_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, I) to (N, H, W, features)."""
        types = {"dtype": x.dtype, "param_dtype": self.param_dtype}
        y = Conv(self.features, 1, use_bias=self.use_bias, name="conv", **types)(x)
        return nn.relu(BatchNorm(train, name="bn", **types)(y))


class BandMatrices(nn.Module):
    """P and Q, each (N, G, b, b) in float32, from the maxima of bands. 2 b^3 G^2 + 2 b^2 G parameters."""

    block: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Look at a map (N, H, W, G)."""
        n, height, width, groups = u.shape
        b = self.block
        bands = u.reshape(n, b, height // b, b, width // b, groups)

        def matrices(axes: tuple[int, ...], name: str) -> jax.Array:
            maxima = maximum(bands, axes).astype(jnp.float32).reshape(n, -1)
            layer = dense(b * b * groups, name=name, param_dtype=self.param_dtype)
            return jax.nn.log_sigmoid(layer(maxima)).reshape(n, groups, b, b)

        # Sigmoids over their sum, which is 0 / 0 where all are too small for a float32.
        rows, columns = matrices((2, 3, 4), "rows"), matrices((1, 2, 4), "columns")
        return jax.nn.softmax(rows, axis=3), jax.nn.softmax(columns, axis=2)


@register(
    "bat",
    year=2020,
    axes=("maxima of bands of rows and columns", "dense, to matrices", "x + f(P x Q)"),
    placement="after_sum",
    citation="Chi, Yuan, Mu, Xu. Non-Local Neural Networks With Grouped Bilinear Attentional Transforms. "
    "CVPR 2020",
    parameters="2 C d + d^2 + d G + 6 d + 3 C + 3 G + 2 b^3 G^2 + 2 b^2 G",
)
class BilinearTransform(Attention):
    """Bands of rows and of columns are mixed by matrices that the map itself gives.

    d = C / 2, G = 4 groups, b bands a side. Without biases (timm) C + 2 d + G fewer.

    Attributes:
        preset: "official" or "timm", see the head of this file.
        reduction: r of the inner width d = C / r; None: the preset's 2 or 4.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        block_size: b; None: the largest number up to 7 that divides height and width.
        groups: G, groups of inner channels with their own matrices; None: the preset's 4 or 2.
        drop_rate: Share of channels that training drops from what is added.
    """

    preset: str = "official"
    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    block_size: int | None = None
    groups: int | None = None
    drop_rate: float = 0.2

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"bat: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        self._width_rule()
        for option in ("block_size", "groups"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UsageError(f"bat: {option} must be positive, not {value}")
        if not 0 <= self.drop_rate < 1:
            raise UsageError(f"bat: drop_rate must be in [0, 1), not {self.drop_rate}")
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule(
            self.rounding or ("paper" if self.preset == "official" else "timm"),
            PRESETS[self.preset].reduction if self.reduction is None else self.reduction,
            owner="bat",
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
            keep=0.9,
        )

    def _block(self, height: int, width: int) -> int:
        if self.block_size is None:
            return common_block(height, width)
        if height % self.block_size or width % self.block_size:
            raise UsageError(
                f"bat: block_size={self.block_size} does not divide the map {height} x {width}"
            )
        return self.block_size

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Add the transformed map to (N, H, W, C)."""
        x = self.feature_map(x)
        _, height, width, channels = x.shape
        preset = PRESETS[self.preset]
        inner, groups = self._width_rule()(channels), self.groups or preset.groups
        if inner % groups:
            raise UsageError(f"bat: groups={groups} do not divide {inner} inner channels")

        def block(features: int, name: str, y: jax.Array) -> jax.Array:
            layer = ConvNormReLU(features, preset.use_bias, self.param_dtype, name=name)
            return layer(y, train=train)

        t = block(inner, "conv_in", x)
        rows, columns = BandMatrices(self._block(height, width), self.param_dtype, name="matrices")(
            block(groups, "conv_groups", t)
        )
        rows = sow_weights(self, rows, "row_weights")
        columns = sow_weights(self, columns, "column_weights")
        y = block(inner, "conv_mix", bilinear(t, rows.astype(x.dtype), columns.astype(x.dtype)))
        y = block(channels, "conv_out", y)
        return x + nn.Dropout(self.drop_rate, broadcast_dims=(1, 2))(y, deterministic=not train)
