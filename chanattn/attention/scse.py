"""Channel, spatial, and concurrent squeeze-and-excitation, made for segmentation.

Roy, Navab, Wachinger; MICCAI 2018, arXiv:1803.02579; TMI 2019, arXiv:1808.08127.

    cse:    w = sigmoid(W2 relu(W1 mean_p x_p + b1) + b2);   y = x w       SE with d = C / 2
    sse:    q_p = sigmoid(v . x_p + c);                      y = x q
    scse:   y = combine(x w, x q)

Disagreement about `combine`: the MICCAI paper and segmentation_models_pytorch add the two maps; the authors'
code, which goes with the TMI paper, takes their elementwise maximum, the best of the combinations compared
there. "max" is the default. Where x is negative, the maximum picks the smaller of the two weights.
segmentation_models_pytorch is `combine="add", reduction=16`. "mul" is the product of the two maps, so it is
quadratic in x. A fourth combination, concatenation, doubles the channels; it does not fit a module that keeps
the shape, and no reference defines a way back, so it is left out.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.se import SE
from chanattn.errors import UsageError
from chanattn.layers import Conv

CITATION = (
    "Roy, Navab, Wachinger. Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully "
    "Convolutional Networks. MICCAI 2018. arXiv:1803.02579"
)
COMBINE: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "max": jnp.maximum,
    "add": jnp.add,
    "mul": jnp.multiply,
}


@register(
    "cse",
    axes=("mean", "bottleneck", "sigmoid"),
    parameters="2 C d + C + d",
    year=2018,
    citation=CITATION,
)
class ChannelSE(SE):
    """Spatial squeeze, channel excitation: SE with a reduction of 2.

    d = max(C // 2, 1). Options as of `SE`.
    """

    reduction: int = 2


@register(
    "sse",
    year=2018,
    axes=("none", "1x1 convolution to one map", "sigmoid, a weight a position"),
    citation=CITATION,
    parameters="C + 1",
)
class SpatialSE(Attention):
    """Channel squeeze, spatial excitation: one weight a position from a 1x1 convolution.

    0.5 at zero logits.
    """

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the positions of (N, H, W, C)."""
        x = self.feature_map(x)
        z = Conv(1, 1, use_bias=True, dtype=x.dtype, param_dtype=self.param_dtype, name="conv")(x)
        weights = gates.sigmoid(z.astype(jnp.float32))
        weights = sow_weights(self, weights)
        return x * over_space(weights, x)


@register(
    "scse",
    year=2018,
    axes=("mean; none", "bottleneck; 1x1 convolution to one map", "maximum of two sigmoids"),
    citation=CITATION,
    parameters="2 C d + 2 C + d + 1",
)
class ConcurrentSE(Attention):
    """Channel and spatial excitation side by side, the larger result at every place.

    d = max(C // 2, 1). At zero logits 0.5, or 1 with "add".

    Attributes:
        combine: "max" (authors' code), "add" (MICCAI paper, segmentation_models_pytorch) or "mul".
        reduction: r of the bottleneck width d = C / r of the channel part.
        rounding: As in `SE`.
        width: d itself, whatever C is.
        divisor: As in `SE`.
        min_width: As in `SE`.
        gate: Of the channel part: a soft or hard gate of `functional.gate`.
    """

    combine: str = "max"
    reduction: int = 2
    rounding: str = "paper"
    width: int | None = None
    divisor: int | None = None
    min_width: int | None = None
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.combine not in COMBINE:
            raise UsageError(f"scse: unknown combine {self.combine!r}; valid: {', '.join(COMBINE)}")
        self._channel(parent=None)
        super().__post_init__()

    @nn.nowrap
    def _channel(self, **module: Any) -> nn.Module:
        return ChannelSE(
            reduction=self.reduction,
            rounding=self.rounding,
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
            gate=self.gate,
            param_dtype=self.param_dtype,
            **module,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels and the positions of (N, H, W, C)."""
        x = self.feature_map(x)
        by_channel = self._channel(name="channel")(x, train=train)
        by_position = SpatialSE(param_dtype=self.param_dtype, name="spatial")(x, train=train)
        return COMBINE[self.combine](by_channel, by_position)
