"""Coordinate attention. Hou, Zhou, Feng; CVPR 2021; arXiv:2103.02907.

    u = mean over the columns, (N, H, C);   v = mean over the rows, (N, W, C)
    f = hard_swish(BN(W1 [u; v])),  W1: C -> d;  the norm sees the H + W places of both strips
    a = sigmoid(Wh f_u),  b = sigmoid(Ww f_v);   y_hw = x_hw a_h b_w

    preset      width d                                        biases
    official    max(C / 32, 8)                                 yes
    timm        C / 16 * 2/3 to a multiple of 8, at least 8    no

At C = 512 that is 16 against 24. Both codes use batch norm with momentum 0.9 (in Flax's sense) and agree on
shared parameters. timm can add the input to the result (`skip`). Relatives: `strips.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space, residual, scale
from chanattn.attention.module import Attention, sow_weights, weigh
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, activation, dense

CITATION = (
    "Hou, Zhou, Feng. Coordinate Attention for Efficient Mobile Network Design. CVPR 2021. "
    "arXiv:2103.02907"
)
# timm shrinks the bottleneck so that three layers have about as many parameters as SE's two.
TWO_OF_THREE = 2 / 3

PRESETS = {"official": 32, "timm": 16}  # the default reduction


def strip_means(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means over the columns, (N, H, C), and over the rows, (N, W, C), of a map, in float32."""
    return (
        jnp.mean(x, axis=2, dtype=jnp.float32),
        jnp.mean(x, axis=1, dtype=jnp.float32),
    )


def outer(rows: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Strips (N, H, C) and (N, W, C) shaped to meet in a map: (N, H, 1, C) and (N, 1, W, C)."""
    return rows[:, :, None], columns[:, None]


def weigh_strips(
    module: nn.Module, gate: gates.Gate, rows: jax.Array, columns: jax.Array, train: bool
) -> jax.Array:
    """Product of the gates of two strips of logits, (N, H, W, C), inside a compact method of `module`."""
    both = weigh(module, gate, jnp.concatenate([rows, columns], axis=1), train)
    rows, columns = jnp.split(both, [rows.shape[1]], axis=1)
    rows = sow_weights(module, rows, "row_weights")
    columns = sow_weights(module, columns, "column_weights")
    a, b = outer(rows, columns)
    return a * b


def apply_map(x: jax.Array, weights: jax.Array, skip: bool) -> jax.Array:
    """Y = x w, or x + x w with the skip."""
    return (residual if skip else scale)(x, over_space(weights, x))


@register(
    "coord",
    year=2021,
    axes=("mean of every row and column", "bottleneck shared by rows and columns", "sigmoid"),
    citation=CITATION,
    parameters="3 C d + 2 C + 3 d",
)
class CoordinateAttention(Attention):
    """A gate for every row and channel times a gate for every column and channel.

    d = max(C / 32, 8). 0.25 at zero logits; without biases (timm) 2 C + d fewer.

    Attributes:
        preset: "official" or "timm", see the head of this file.
        reduction: r of the bottleneck width; None: 32, with preset "timm" 16.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 8, or the divisor.
        use_bias: Biases of the three layers; None: the preset's choice.
        act: Activation of the bottleneck.
        gate: A soft or hard gate of `functional.gate`.
        skip: Add x to the result.
    """

    preset: str = "official"
    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    use_bias: bool | None = None
    act: str = "hard_swish"
    gate: str | gates.Gate = "sigmoid"
    skip: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"coord: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        self._width_rule()
        activation(self.act)
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        official = self.preset == "official"
        rounding = self.rounding or ("paper" if official else "timm")
        least = 8 if self.min_width is None and rounding == "paper" else self.min_width
        return width_rule(
            rounding,
            PRESETS[self.preset] if self.reduction is None else self.reduction,
            owner="coord",
            width=self.width,
            divisor=self.divisor,
            min_width=least,
            share=1.0 if official else TWO_OF_THREE,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the rows and the columns of every channel of (N, H, W, C)."""
        x = self.feature_map(x)
        height, channels = x.shape[1], x.shape[-1]
        layer = {
            "use_bias": self.preset == "official" if self.use_bias is None else self.use_bias,
            "param_dtype": self.param_dtype,
        }
        strips = jnp.concatenate(strip_means(x), axis=1)
        f = dense(self._width_rule()(channels), name="reduce", **layer)(strips)
        f = activation(self.act)(BatchNorm(train, name="bn", param_dtype=self.param_dtype)(f))
        rows, columns = jnp.split(f, [height], axis=1)
        weights = weigh_strips(
            self,
            gates.get(self.gate),
            dense(channels, name="rows", **layer)(rows),
            dense(channels, name="columns", **layer)(columns),
            train,
        )
        return apply_map(x, weights, self.skip)
