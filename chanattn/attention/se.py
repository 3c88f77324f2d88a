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

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import mix
from chanattn.attention import squeeze as squeezes
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register
from chanattn.attention.widths import of_block_input, width_rule
from chanattn.errors import UsageError
from chanattn.layers import activation

CITATION = (
    "Hu, Shen, Albanie, Sun, Wu. Squeeze-and-Excitation Networks. CVPR 2018. arXiv:1709.01507"
)


@dataclass(frozen=True)
class _Amplified(gates.Gate):
    """A gate whose weights are multiplied by a constant."""

    gain: float = 1.0

    def __call__(
        self,
        z: jax.Array,
        key: jax.Array | None = None,
        temperature: float | jax.Array | None = None,
        place: str = "",
    ) -> jax.Array:
        """Weights of logits (..., C), times `gain`."""
        return self.gain * super().__call__(z, key, temperature, place)


def amplified(gate: str | gates.Gate, gain: float) -> gates.Gate:
    """The gate with its weights multiplied by `gain`.

    Raises:
        UsageError: The gain is not positive, or there is no such gate.
    """
    if gain <= 0:
        raise UsageError(f"gain must be positive, not {gain}")
    bound = gates.get(gate)
    return bound if gain == 1 else _Amplified(**vars(bound), gain=gain)


@register(
    "se",
    citation=CITATION,
    year=2018,
    axes=("mean", "bottleneck", "sigmoid"),
)
def se(
    reduction: int = 16,
    rounding: str = "paper",
    width: int | None = None,
    divisor: int | None = None,
    min_width: int | None = None,
    reduce_from: str = "channels",
    use_bias: bool = True,
    squeeze: str = "mean",
    gate: str | gates.Gate = "sigmoid",
    gain: float = 1.0,
    act: str = "relu",
    use_norm: bool = False,
    block_input: int | None = None,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Squeeze-and-excitation: mean, two-layer bottleneck, sigmoid.

    Parameters: 2 C d + C + d

    d = max(C // 16, 1). 0.5 at zero logits.

    Args:
        reduction: r of the bottleneck width d = C / r.
        rounding: "paper" (floor), "timm" (multiple of 8) or "mobile" (the same, never 10 % below C / r).
        width: d itself, whatever C is (timm's `rd_channels`).
        divisor: What d is a multiple of with "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        reduce_from: "channels" (of x), or "block_input": d = block_input / r.
        use_bias: Biases of the two layers.
        squeeze: mean, max, blend (half each), none (no pooling), mean+max (shared layers, logits added).
        gate: A soft or hard gate of `attention.gate`.
        gain: Factor of the weights; NFNet's 2 makes up for the 0.5 of the sigmoid at the start.
        act: Activation between the layers.
        use_norm: Batch norm between the layers (timm's `norm_layer`).
        block_input: Channels of the block's input, which the block gives.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: A value that there is no such thing as.
    """
    activation(act)
    rule = width_rule(rounding, reduction, width=width, divisor=divisor, min_width=min_width)
    return ChannelAttention(
        squeeze=squeezes.get(squeeze),
        mix=partial(
            mix.Bottleneck,
            width=of_block_input(rule, reduce_from, block_input),
            use_bias=use_bias,
            act=act,
            use_norm=use_norm,
            param_dtype=param_dtype,
        ),
        gate=amplified(gate, gain),
        **module,
    )
