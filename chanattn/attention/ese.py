"""Effective squeeze-and-excitation. Lee, Park; CenterMask, CVPR 2020; arXiv:1911.06667 (VoVNetV2).

    s = mean_p x_p;   w = hard_sigmoid(W s + b),  W: C -> C;   y = x w

SE without its bottleneck, which loses information about the channels (Section 3.3); with biases. The
authors' code has an argument `reduction` that it does not use. mmdetection's `ChannelAttention` (RTMDet) is
the same module. VoVNetV2 has it after the 1x1 convolution that closes a block, in the last block of a stage
only.
"""

from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention.channel import channel
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register


@register(
    "ese",
    year=2020,
    axes=("mean", "dense", "hard sigmoid"),
    citation="Lee, Park. CenterMask: Real-Time Anchor-Free Instance Segmentation. CVPR 2020. "
    "arXiv:1911.06667",
)
def ese(
    squeeze: str = "mean",
    gate: str | gates.Gate = "hard_sigmoid",
    use_bias: bool = True,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Effective SE: one full layer in place of the bottleneck, hard sigmoid.

    Parameters: C^2 + C

    0.5 at zero logits.

    Args:
        squeeze: A name of `attention.squeeze`; "blend" is timm's `add_maxpool`.
        gate: A soft or hard gate of `attention.gate`.
        use_bias: Whether b is there.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: An unknown squeeze or gate.
    """
    return channel(
        squeeze=squeeze,
        mix="dense",
        gate=gate,
        use_bias=use_bias,
        param_dtype=param_dtype,
        **module,
    )
