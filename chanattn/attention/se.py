"""Squeeze-and-excitation. Hu, Shen, Albanie, Sun, Wu; CVPR 2018, TPAMI 2020; arXiv:1709.01507.

    s = mean_p x_p;   w = sigmoid(W2 relu(W1 s + b1) + b2),  W1: C -> d, W2: d -> C;   y = x w

Defaults are those of the released Caffe models: d = C / 16, with biases. The paper's ablations (Section 6)
drop the biases (`use_bias=False`). The paper's other placements (Section 6.5) are the block's business:
SE-PRE is placement "pre", SE-POST "after_sum", SE-Identity "identity", SE-3x3 "mid". NoSqueeze is
`squeeze="none"`.

Widths: the official code takes floor(C / r), at least 1 here, where the original would fail; timm rounds
to a multiple of 8, at least 8 (`rounding="timm"`), so that at C = 16 timm's bottleneck is 8 wide and
the paper's 1. At C = 192: 16 against 12.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import mix
from chanattn.attention import squeeze as squeezes
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register
from chanattn.attention.widths import width_rule
from chanattn.errors import UsageError
from chanattn.layers import activation

CITATION = (
    "Hu, Shen, Albanie, Sun, Wu. Squeeze-and-Excitation Networks. CVPR 2018. arXiv:1709.01507"
)


def bottleneck(
    reduction: int, rounding: str, width: int | None, use_bias: bool, **options: Any
) -> Callable[..., mix.Bottleneck]:
    """SE's two layers, which other mechanisms share; `width` overrides C / reduction.

    Raises:
        UsageError: The width is not positive, or the rule of its own is wrong.
    """
    if width is not None and width < 1:
        raise UsageError(f"width must be positive, not {width}")
    rule = width or width_rule(rounding, reduction)
    return partial(mix.Bottleneck, width=rule, use_bias=use_bias, **options)


@register("se", citation=CITATION)
def se(
    reduction: int = 16,
    rounding: str = "paper",
    width: int | None = None,
    use_bias: bool = True,
    squeeze: str = "mean",
    gate: str = "sigmoid",
    act: str = "relu",
    use_norm: bool = False,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Squeeze-and-excitation: mean, two-layer bottleneck, sigmoid.

    2 C d + C + d parameters; 0.5 at zero logits.

    Args:
        reduction: r of the bottleneck width d = C / r.
        rounding: "paper" (floor) or "timm" (multiple of 8).
        width: d itself, whatever C is.
        use_bias: Biases of the two layers.
        squeeze: mean, max, blend (half each), none (no pooling), mean+max (shared layers, logits added).
        gate: A soft or hard gate of `attention.gate`.
        act: Activation between the layers.
        use_norm: Batch norm between the layers (timm's `norm_layer`).
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: A value that there is no such thing as.
    """
    activation(act)
    return ChannelAttention(
        squeeze=squeezes.get(squeeze),
        mix=bottleneck(
            reduction,
            rounding,
            width,
            use_bias,
            act=act,
            use_norm=use_norm,
            param_dtype=param_dtype,
        ),
        gate=gates.get(gate),
        **module,
    )
