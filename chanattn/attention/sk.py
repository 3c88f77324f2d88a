"""Selective kernels. Li, Wang, Hu, Yang; CVPR 2019; arXiv:1903.06586.

    U_m = relu(BN(conv_m(x)));   s = mean_p sum_m U_m;   z = relu(BN(W s)), W: C -> d
    a_m = softmax over m of A_m z, for every channel;   y = sum_m a_m U_m

A convex combination of branches, channel by channel: the weights of a channel sum to 1 over the branches.
No biases, d = max(C / 16, 32) (Section 3.1). The 5x5 branch is a 3x3 one with dilation 2.

Disagreements:

    preset   d                                                   the branches see
    paper    max(floor(C / 16), 32)                              the whole input
    timm     C / 16 to a multiple of 8, never 10 % below         each its own slice of the channels

"timm" is its module's default; of its models skresnet50 has it, skresnet18 and 34 have C / 8 to a multiple
of 16, and skresnext50_32x4d has the paper's layout. The authors' PyTorch code (PytorchInsight) has a dense
and a 32-group branch of equal size instead of the dilated one (`branches="groups"`) and no floor under d
(`min_width=1`).

The paper's ablations: `fuse="sum"` is y = sum_m U_m, without attention, of one branch or more (Table 7). With
`dilations`, `kernel_sizes` are those of the convolutions themselves, and `branch_groups` gives each its
groups (Table 6): kernel_sizes=(3, 3), dilations=(1, 3), branch_groups=(32, 32) for the first row.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import ConvAttention, refuse_unused, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, dense

BRANCHES = ("dilation", "groups")
FUSES = ("select", "sum")
PRESETS = {"paper": ("paper", 32), "timm": ("timm", 8)}  # rounding and least d
_OF_THE_SOFTMAX = ("reduction", "width", "min_width", "rounding", "divisor")


class BranchAttention(nn.Module):
    """Weights of M branches for every channel: (N, M, H, W, C) -> (N, M, C), summing to 1 over M.

    (1 + M) C d + 2 d parameters.

    Attributes:
        width: d, or the rule that gives it from C.
        param_dtype: Type of the parameters.
    """

    width: int | WidthRule
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, branches: jax.Array, train: bool = False) -> jax.Array:
        """Weigh the branches."""
        _, count, _, _, channels = branches.shape
        width = self.width(channels) if callable(self.width) else self.width
        layer = {"use_bias": False, "param_dtype": self.param_dtype}
        s = jnp.mean(jnp.sum(branches, axis=1, dtype=jnp.float32), axis=(1, 2))
        z = dense(width, name="reduce", **layer)(s)
        z = BatchNorm(train, name="bn", act="relu", param_dtype=self.param_dtype)(z)
        # One row a branch and channel, the branch slowest, as in all three reference codes.
        logits = dense(count * channels, name="select", **layer)(z)
        return jax.nn.softmax(logits.reshape(-1, count, channels), axis=1)


@register(
    "sk",
    slot="conv",
    placement="conv",
    year=2019,
    axes=("mean of the sum of branches", "bottleneck", "softmax over branches"),
    citation="Li, Wang, Hu, Yang. Selective Kernel Networks. CVPR 2019. arXiv:1903.06586",
    parameters="18 I C + 4 C + 3 C d + 2 d",
)
class SK(ConvAttention):
    """Branches with different receptive fields, mixed by a softmax over the branches for every channel.

    I input channels, d = max(C / 16, 32).

    Attributes:
        preset: "paper" or "timm", see the head of this file.
        reduction: r of the bottleneck width d = C / r.
        width: d itself, whatever C is (timm's `rd_channels`).
        min_width: Least d; None: the preset's, 32 or 8, or the divisor if there is one.
        rounding: "paper" (floor), "timm" or "mobile" (both: to a multiple of `divisor`, never 10 % below).
            None: the preset's.
        divisor: Of "timm" and "mobile"; None: the least d.
        kernel_sizes: "dilation" branches: receptive field of each, 3 + 2 (dilation - 1); with `dilations`,
            the kernel itself.
        dilations: Of the branches; None: kernels are 3x3, with dilation (k - 1) / 2 for k of `kernel_sizes`.
        branch_groups: Groups of each branch's convolution; None: `groups` for all.
        branches: "dilation", or "groups": a dense 3x3 and one with 32 groups (PytorchInsight).
        fuse: "select": the softmax; "sum": the plain sum of the branches, the control without attention.
        split_input: Each branch sees its own slice of the input channels; None: the preset's choice.
    """

    preset: str = "paper"
    reduction: int = 16
    width: int | None = None
    min_width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    kernel_sizes: tuple[int, ...] = (3, 5)
    dilations: tuple[int, ...] | None = None
    branch_groups: tuple[int, ...] | None = None
    branches: str = "dilation"
    fuse: str = "select"
    split_input: bool | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"sk: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        if self.branches not in BRANCHES:
            raise UsageError(
                f"sk: unknown branches {self.branches!r}; valid: {', '.join(BRANCHES)}"
            )
        if self.fuse not in FUSES:
            raise UsageError(f"sk: unknown fuse {self.fuse!r}; valid: {', '.join(FUSES)}")
        least, words = (2, "two") if self.fuse == "select" else (1, "one")
        if len(self.kernel_sizes) < least or any(k < 3 or k % 2 == 0 for k in self.kernel_sizes):
            raise UsageError(
                f"sk: kernel_sizes must be {words} or more odd numbers from 3 on, not {self.kernel_sizes}"
            )
        for option in ("dilations", "branch_groups"):
            self._check_branch_option(option, getattr(self, option))
        if self.fuse == "sum":
            refuse_unused(self, "sk: fuse='sum'", *_OF_THE_SOFTMAX)
        if self.branches == "groups":
            refuse_unused(self, "sk: branches='groups'", "kernel_sizes")
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _check_branch_option(self, option: str, given: tuple[int, ...] | None) -> None:
        if given is None:
            return
        if self.branches == "groups":
            raise UsageError(f"sk: {option} is for branches='dilation', not 'groups'")
        if len(given) != len(self.kernel_sizes) or min(given) < 1:
            raise UsageError(
                f"sk: {option} must be {len(self.kernel_sizes)} positive numbers, one for each of "
                f"kernel_sizes, not {given}"
            )

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        rounding, least = PRESETS[self.preset]
        least = least if self.min_width is None else self.min_width
        return width_rule(
            self.rounding or rounding,
            self.reduction,
            owner="sk",
            width=self.width,
            divisor=self.divisor,
            min_width=least if self.divisor is None else self.min_width,
            default_divisor=least,
            keep=0.9,
        )

    @nn.nowrap
    def _branches(self) -> list[tuple[int, int, int]]:
        """(kernel size, groups, dilation) of every branch."""
        if self.branches == "groups":
            return [(3, 1, 1), (3, 32, 1)]
        count = len(self.kernel_sizes)
        groups = self.branch_groups or (self.groups,) * count
        if self.dilations is None:
            return [(3, g, (k - 1) // 2) for k, g in zip(self.kernel_sizes, groups, strict=True)]
        return list(zip(self.kernel_sizes, groups, self.dilations, strict=True))

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, I) to (N, H', W', filters), H' = ceil(H / stride)."""
        x = self.feature_map(x)
        kinds = self._branches()
        split = self.preset == "timm" if self.split_input is None else self.split_input
        if split and x.shape[-1] % len(kinds):
            raise UsageError(
                f"sk: {len(kinds)} branches do not divide {x.shape[-1]} input channels"
            )
        inputs = jnp.split(x, len(kinds), axis=-1) if split else [x] * len(kinds)
        outputs = []
        for number, (kind, source) in enumerate(zip(kinds, inputs, strict=True), 1):
            kernel_size, groups, dilation = kind
            u = Conv(
                self.filters,
                kernel_size,
                stride=self.stride,
                groups=groups,
                dilation=dilation,
                dtype=x.dtype,
                param_dtype=self.param_dtype,
                name=f"conv{number}",
            )(source)
            norm = BatchNorm(
                train,
                name=f"bn{number}",
                act="relu",
                dtype=x.dtype,
                param_dtype=self.param_dtype,
            )
            outputs.append(norm(u))
        if self.fuse == "sum":
            return sum(outputs[1:], outputs[0])
        stacked = jnp.stack(outputs, axis=1)
        weights = BranchAttention(self._width_rule(), self.param_dtype, name="attention")(
            stacked, train=train
        )
        weights = sow_weights(self, weights)
        y = sum(u * weights[:, m, None, None] for m, u in enumerate(outputs))
        return y.astype(x.dtype)
