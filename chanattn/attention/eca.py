"""Efficient channel attention. Wang, Wu, Zhu, Li, Zuo, Hu; CVPR 2020; arXiv:1910.03151.

    s = mean_p x_p;   w_i = sigmoid(sum_j a_j s_{i+j}),  j = -(k-1)/2 .. (k-1)/2;   y = x w

One kernel of k taps for all channels, zeros beyond both ends, no bias: k parameters. The order of the
channels matters.

k = |log2(C) / gamma + b / gamma| made odd (eq. 12), gamma = 2, b = 1. As in timm, whose models follow the
formula, the value is truncated, an even one goes up by one, and k is at least 3; the paper's formula
alone gives 1 below C = 8. The authors' code has no formula: `kernel_size` is explicit there (3 by default;
their ResNet-50 has 3, 5, 7, 7 for its stages, MobileNetV2 1 below C = 96 and 3 from there on), and the
abstract's "80 parameters" fits neither. Ports with a bias exist (`use_bias=True`).

Relatives: `eca_ns` (taps of its own for every channel) in `se_variants`, `ceca` and `eca_mlp` in `eca_timm`.
"""

import math
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.mix import Conv1d, check_odd
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule
from chanattn.errors import UsageError

CITATION = (
    "Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net: Efficient Channel Attention for Deep Convolutional "
    "Neural Networks. CVPR 2020. arXiv:1910.03151"
)


def adaptive_kernel_size(
    channels: int, gamma: float = 2.0, b: float = 1.0, minimum: int = 3
) -> int:
    """psi(C) = |(log2(C) + b) / gamma| truncated, then up to the next odd number, at least `minimum`.

    C = 8..64: 3; 128..512 and 1024: 5; 2048: 7.
    """
    k = int(abs(math.log2(channels) + b) / gamma)
    return max(k if k % 2 else k + 1, minimum)


def kernel_rule(kernel_size: int | None, gamma: float, b: float) -> int | WidthRule:
    """The given k, or, for None, `adaptive_kernel_size` with this gamma and b.

    Raises:
        UsageError: k is even or not positive, or gamma not positive.
    """
    if gamma <= 0:
        raise UsageError(f"gamma must be positive, not {gamma}")
    if kernel_size is None:
        return partial(adaptive_kernel_size, gamma=gamma, b=b)
    return check_odd(kernel_size)


@register(
    "eca",
    year=2020,
    axes=("mean", "1-D convolution over channels", "sigmoid"),
    parameters="k",
    order_matters=True,
    citation=CITATION,
)
class ECA(Attention):
    """Efficient channel attention: one 1-D convolution over the channels.

    k from C by the formula: 3 up to C = 64, 5 up to 1024, 7 at 2048. 0.5 at zero logits.

    Attributes:
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        use_bias: One number is added to all logits.
        gate: A soft or hard gate of `functional.gate`.
        gain: Factor of the weights; 2 in networks without norms, as of `se`.

    Raises:
        UsageError: k is even, or gamma or gain not positive.
    """

    kernel_size: int | None = None
    gamma: float = 2.0
    b: float = 1.0
    use_bias: bool = False
    gate: str | gates.Gate = "sigmoid"
    gain: float = 1.0

    _circular: ClassVar[bool] = False

    def __post_init__(self) -> None:
        kernel_rule(self.kernel_size, self.gamma, self.b)
        if self.gain <= 0:
            raise UsageError(f"gain must be positive, not {self.gain}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        s = squeeze.mean(x)
        conv = Conv1d(
            kernel_rule(self.kernel_size, self.gamma, self.b),
            circular=self._circular,
            use_bias=self.use_bias,
            param_dtype=self.param_dtype,
            name="mix",
        )
        w = self.weigh(conv(s), train, self.gain)
        return x * over_space(w, x)
