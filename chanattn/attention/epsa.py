"""EPSA: pyramid squeeze attention. Zhang, Zu, Lu, Zou, Meng; ACCV 2022; arXiv:2105.14447.

    U_m = conv_m(x), C / 4 channels each, kernels 3, 5, 7, 9, groups 1, 4, 8, 16, no biases
    z_m = sigmoid(W2 relu(W1 mean_p U_m + b1) + b2), the same two layers for all branches
    a_m = softmax over m of z_m, for every channel;   y = concatenation of a_m U_m

Every branch sees the whole input. The softmax acts on sigmoids, so with four branches a weight lies between
1 / (1 + 3 e) = 0.109 and e / (e + 3) = 0.475: no branch can be chosen or dropped. The SE layers have
r = 16 and biases.

The authors' code concatenates the branches in reverse, largest kernel first (`preset="official"`, the
default, which published weights need), the paper in their natural order (`preset="paper"`). Their block has a
batch norm and a ReLU after the module, which here belong to it; `use_norm=False` leaves the bare module.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention import mix
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.module import ConvAttention, refuse_unused, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule_of
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, activation

PRESETS = ("official", "paper")


def branch_softmax(logits: jax.Array) -> jax.Array:
    """Softmax over the branches of the sigmoids of (N, S, C / S): every weight is in a narrow band."""
    return jax.nn.softmax(jax.nn.sigmoid(logits), axis=1)


@register(
    "epsa",
    slot="conv",
    placement="conv",
    year=2022,
    axes=("mean of each branch", "shared bottleneck", "softmax over branches of sigmoids"),
    order_matters=True,
    citation="Zhang, Zu, Lu, Zou, Meng. EPSANet: An Efficient Pyramid Squeeze Attention Block on "
    "Convolutional Neural Network. ACCV 2022. arXiv:2105.14447",
    parameters="9 I C/4 + 25 I C/(4 E) + 49 I C/(4 F) + 81 I C/(4 G) + C d/2 + d + C/4 + 2 C",
)
class PyramidSqueezeAttention(ConvAttention):
    """Branches with growing kernels, each a slice of the channels, weighed against each other.

    I input channels, d = max(C / 64, 1); E, F, G = 4, 8, 16 the groups of the last three branches, fewer in
    narrow networks, see `branch_groups`.

    Attributes:
        kernel_sizes: Of the branches, odd.
        branch_groups: Groups of each branch; where they do not divide I and C / 4, the greatest common
            divisor of the three is taken (C = 16: 1, 4, 4, 4).
        reduction: r of the bottleneck width d = C / (4 r), C / 4 the channels of a branch.
        width: d itself, whatever C is.
        rounding: As in `SE`, of C / (4 r).
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        preset: "official" concatenates from the last branch to the first, "paper" from the first to the last.
        use_norm: Batch norm and activation after the concatenation.
        act: That activation.
    """

    kernel_sizes: tuple[int, ...] = (3, 5, 7, 9)
    branch_groups: tuple[int, ...] = (1, 4, 8, 16)
    reduction: int = 16
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    preset: str = "official"
    use_norm: bool = True
    act: str = "relu"

    def __post_init__(self) -> None:
        if len(self.kernel_sizes) < 2 or any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise UsageError(
                f"epsa: kernel_sizes must be two or more odd numbers, not {self.kernel_sizes}"
            )
        if len(self.branch_groups) != len(self.kernel_sizes) or min(self.branch_groups) < 1:
            raise UsageError(
                f"epsa: branch_groups must be {len(self.kernel_sizes)} positive numbers, one for each of "
                f"kernel_sizes, not {self.branch_groups}"
            )
        if self.groups != 1:
            raise UsageError(
                "epsa: the branches have groups of their own (branch_groups), so the block's must be 1, "
                f"not {self.groups}"
            )
        self._width_rule()
        if self.preset not in PRESETS:
            raise UsageError(f"epsa: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        activation(self.act)
        if not self.use_norm:
            refuse_unused(self, "epsa: use_norm=false", "act")
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "epsa")

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, I) to (N, H', W', filters), H' = ceil(H / stride)."""
        x = self.feature_map(x)
        if self.filters % len(self.kernel_sizes):
            raise UsageError(
                f"epsa: {self.filters} filters do not divide among {len(self.kernel_sizes)} branches"
            )
        own = {"param_dtype": self.param_dtype}
        slice_width = self.filters // len(self.kernel_sizes)
        branches = [
            Conv(
                slice_width,
                kernel_size,
                self.stride,
                groups=math.gcd(groups, x.shape[-1], slice_width),
                dtype=x.dtype,
                name=f"conv{number}",
                **own,
            )(x)
            for number, (kernel_size, groups) in enumerate(
                zip(self.kernel_sizes, self.branch_groups, strict=True), 1
            )
        ]

        attention = mix.Bottleneck(self._width_rule()(slice_width), name="attention", **own)
        logits = [attention(squeezes.mean(branch), train=train) for branch in branches]
        weights = branch_softmax(jnp.stack(logits, axis=1))
        weights = sow_weights(self, weights)
        slices = [
            branch * weights[:, m, None, None].astype(branch.dtype)
            for m, branch in enumerate(branches)
        ]
        y = jnp.concatenate(slices[::-1] if self.preset == "official" else slices, axis=-1)
        if not self.use_norm:
            return y
        y = BatchNorm(train, name="bn", dtype=x.dtype, **own)(y)
        return activation(self.act)(y)
