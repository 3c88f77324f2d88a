"""Hard channel selection on SE's logits: the contrast that soft attention is measured against.

The same squeeze, the same two layers, the same parameters as `se`; only the map from logits to weights
differs. The kept channels are scaled up so that the mean weight is 1, and gradients pass straight through
(Bengio, Léonard, Courville, 2013, arXiv:1308.3432).
"""

from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate, squeeze
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register
from chanattn.attention.se import bottleneck

_STRAIGHT_THROUGH = (
    "Bengio, Léonard, Courville. Estimating or Propagating Gradients Through Stochastic Neurons. "
    "arXiv:1308.3432"
)


@register("top_k", citation=_STRAIGHT_THROUGH)
def top_k(
    fraction: float = 0.5,
    temperature: float = 1.0,
    reduction: int = 16,
    rounding: str = "paper",
    width: int | None = None,
    use_bias: bool = True,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """The k channels with the largest SE logits pass, scaled by C / k; the rest is silenced.

    Args:
        fraction: k / C; 1 keeps all, and the module is the identity.
        temperature: Of the sigmoid whose gradient is used.
        reduction: r of the bottleneck width d = C / r.
        rounding: "paper" (floor) or "timm" (multiple of 8).
        width: d itself.
        use_bias: Biases of the two layers.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.
    """
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=bottleneck(reduction, rounding, width, use_bias, param_dtype=param_dtype),
        gate=gate.get("top_k", fraction=fraction, temperature=temperature),
        **module,
    )


@register("argmax", citation=_STRAIGHT_THROUGH)
def argmax(
    temperature: float = 1.0,
    reduction: int = 16,
    rounding: str = "paper",
    width: int | None = None,
    use_bias: bool = True,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """The one channel with the largest SE logit passes, scaled by C: hard attention in the literal sense.

    Args:
        temperature: Of the softmax whose gradient is used.
        reduction: r of the bottleneck width d = C / r.
        rounding: "paper" (floor) or "timm" (multiple of 8).
        width: d itself.
        use_bias: Biases of the two layers.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.
    """
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=bottleneck(reduction, rounding, width, use_bias, param_dtype=param_dtype),
        gate=gate.get("argmax", temperature=temperature),
        **module,
    )
