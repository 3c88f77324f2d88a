"""Squeeze-and-excitation. Hu, Shen, Albanie, Sun, Wu; CVPR 2018, TPAMI 2020; arXiv:1709.01507.

    s = mean_p x_p;   w = sigmoid(W2 relu(W1 s + b1) + b2),  W1: C -> d, W2: d -> C;   y = x w

Defaults are those of the released Caffe models: d = C / 16, with biases. The paper's ablations (Section 6)
drop the biases (`use_bias=False`). The paper's other placements (Section 6.5) are the block's business:
SE-PRE is placement "pre", SE-POST "after_sum", SE-Identity "identity", SE-3x3 "mid". NoSqueeze is
`squeeze="none"`.

Widths: the official code takes floor(C / r), at least 1 here, where the original would fail; timm rounds
to a multiple of 8, at least 8 (`rounding="timm"`), so that at C = 16 timm's bottleneck is 8 wide and
the paper's 1. At C = 192: 16 against 12.

Other networks use the same module with other options, most of them after the 3x3 or depthwise convolution
(placement "mid"):

    EfficientNet   reduction=4, reduce_from="block_input", act="silu"        arXiv:1905.11946
    MobileNetV3    reduction=4, rounding="mobile", gate="hard_sigmoid"       arXiv:1905.02244
    RegNetY        reduction=4, reduce_from="block_input"                    arXiv:2003.13678
    ResNet-RS      reduction=4                    placement "post"           arXiv:2103.07579
    NFNet          reduction=2, gain=2.0          placement "post"           arXiv:2102.06171
    scSE's cSE     reduction=2 (registered as `cse`)                         arXiv:1803.02579

In the first and the third, the width is relative to the input of the block, not to the expanded or bottleneck
channels that the module sits on.
"""

import flax.linen as nn
import jax

from chanattn.attention import mix
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, of_block_input, width_rule_of
from chanattn.errors import UsageError
from chanattn.layers import activation

CITATION = (
    "Hu, Shen, Albanie, Sun, Wu. Squeeze-and-Excitation Networks. CVPR 2018. arXiv:1709.01507"
)


@register(
    "se",
    citation=CITATION,
    year=2018,
    axes=("mean", "bottleneck", "sigmoid"),
    parameters="2 C d + C + d",
)
class SE(Attention):
    """Squeeze-and-excitation: mean, two-layer bottleneck, sigmoid.

    d = max(C // 16, 1). 0.5 at zero logits.

    Attributes:
        reduction: r of the bottleneck width d = C / r.
        rounding: "paper" (floor), "timm" (multiple of 8), "mobile" (the same, never 10 % below C / r), or
            another of `attention.widths`.
        width: d itself, whatever C is (timm's `rd_channels`).
        divisor: What d is a multiple of with "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        reduce_from: "channels" (of x), or "block_input": d = block_input / r.
        use_bias: Biases of the two layers.
        squeeze: A name of `functional.squeeze`, such as mean, max, blend (half each), none (no pooling); or
            several, as mean+max (shared layers, logits added).
        gate: A soft or hard gate of `functional.gate`.
        gain: Factor of the weights; NFNet's 2 makes up for the 0.5 of the sigmoid at the start.
        act: Activation between the layers.
        use_norm: Batch norm between the layers (timm's `norm_layer`).
        block_input: Channels of the block's input, which the block gives.

    Raises:
        UsageError: A squeeze, gate, rounding or activation that does not exist, or a number that is not
            positive.
    """

    reduction: int = 16
    rounding: str = "paper"
    width: int | None = None
    divisor: int | None = None
    min_width: int | None = None
    reduce_from: str = "channels"
    use_bias: bool = True
    squeeze: str = "mean"
    gate: str | gates.Gate = "sigmoid"
    gain: float = 1.0
    act: str = "relu"
    use_norm: bool = False
    block_input: int | None = None

    def __post_init__(self) -> None:
        self._width_rule()
        squeezes.get(self.squeeze)
        gates.of(self)
        activation(self.act)
        if self.gain <= 0:
            raise UsageError(f"gain must be positive, not {self.gain}")
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return of_block_input(width_rule_of(self), self.reduce_from, self.block_input)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        s = squeezes.get(self.squeeze)(x)
        bottleneck = mix.Bottleneck(
            self._width_rule(), self.use_bias, self.act, self.use_norm, self.param_dtype, name="mix"
        )
        w = self.weigh(bottleneck(s, train), train, self.gain)
        return x * over_space(w, x)
