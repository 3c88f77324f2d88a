"""The two gates of BiSeNet. Yu, Wang, Peng, Gao, Yu, Sang; ECCV 2018; arXiv:1808.00897, section 3.2.

    arm   attention refinement    w = sigmoid(BN(W mean_p x_p)),                 y = x w
    ffm   feature fusion          w = sigmoid(W2 relu(W1 mean_p x_p)),           y = x (1 + w)
                                  w = sigmoid(BN(W mean_p x_p)), preset "port"

W, W1, W2: C -> C, no bottleneck and no biases. The network (`chanattn.models.heads.bisenet`) has a
convolution in front of each, whose result is x. The second gate is that of the paper's figure 2c and of the
authors' code (ycszen/TorchSeg, where the reduction is 1); the much used port of CoinCheung has the first one
there as well. mmsegmentation rectifies its logits, so that no weight is below 0.5; that slip is left out.

Batch norm sees one value a picture: in training it needs several pictures a batch; one alone has a constant
for its gate, which teaches W nothing.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import mix, squeeze
from chanattn.attention.core import ChannelAttention, residual
from chanattn.attention.registry import register
from chanattn.errors import UsageError

CITATION = (
    "Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic "
    "Segmentation. ECCV 2018. arXiv:1808.00897"
)
PRESETS = ("official", "port")


@register("arm", year=2018, axes=("mean", "dense, batch norm", "sigmoid"), citation=CITATION)
def arm(
    gate: str | gates.Gate = "sigmoid", param_dtype: Any = jnp.float32, **module: Any
) -> ChannelAttention:
    """BiSeNet's attention refinement: one full layer and batch norm in place of the bottleneck.

    Parameters: C^2 + 2 C

    0.5 at zero logits.

    Args:
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: An unknown gate.
    """
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(mix.Dense, use_norm=True, param_dtype=param_dtype),
        gate=gates.get(gate),
        **module,
    )


@register(
    "ffm",
    year=2018,
    axes=("mean", "bottleneck that is none: d = C", "1 + sigmoid"),
    citation=CITATION,
)
def ffm(
    preset: str = "official",
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """The gate of BiSeNet's feature fusion: strengthens channels, two full layers.

    Parameters: 2 C^2

    Multiplies by 1.5 at zero logits. With "port" C^2 + 2 C.

    Args:
        preset: "official" (two layers) or "port" (one with batch norm, as in `arm`).
        gate: A soft or hard gate of `attention.gate`; the weights are 1 + gate.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: An unknown preset or gate.
    """
    if preset not in PRESETS:
        raise UsageError(f"ffm: unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    own = {"use_bias": False, "param_dtype": param_dtype}
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(mix.Bottleneck, width=lambda channels: channels, **own)
        if preset == "official"
        else partial(mix.Dense, use_norm=True, **own),
        gate=gates.get(gate),
        fuse=residual,
        **module,
    )
