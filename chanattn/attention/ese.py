"""Effective squeeze-and-excitation. Lee, Park; CenterMask, CVPR 2020; arXiv:1911.06667 (VoVNetV2).

    s = mean_p x_p;   w = hard_sigmoid(W s + b),  W: C -> C;   y = x w

SE without its bottleneck, which loses information about the channels (Section 3.3); with biases. The
authors' code has an argument `reduction` that it does not use. mmdetection's `ChannelAttention` (RTMDet) is
the same module. VoVNetV2 has it after the 1x1 convolution that closes a block, in the last block of a stage
only.
"""

import flax.linen as nn
import jax

from chanattn.attention import mix
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register


@register(
    "ese",
    year=2020,
    axes=("mean", "dense", "hard sigmoid"),
    parameters="C^2 + C",
    citation="Lee, Park. CenterMask: Real-Time Anchor-Free Instance Segmentation. CVPR 2020. "
    "arXiv:1911.06667",
)
class ESE(Attention):
    """Effective SE: one full layer in place of the bottleneck, hard sigmoid.

    0.5 at zero logits.

    Attributes:
        squeeze: A name of `functional.squeeze`; "blend" is timm's `add_maxpool`.
        gate: A soft or hard gate of `functional.gate`.
        use_bias: Whether b is there.

    Raises:
        UsageError: An unknown squeeze or gate.
    """

    squeeze: str = "mean"
    gate: str | gates.Gate = "hard_sigmoid"
    use_bias: bool = True

    def __post_init__(self) -> None:
        squeezes.get(self.squeeze)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        s = squeezes.get(self.squeeze)(x)
        z = mix.Dense(self.use_bias, param_dtype=self.param_dtype, name="mix")(s)
        w = self.weigh(z, train)
        return x * over_space(w, x)
