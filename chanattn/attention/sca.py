"""SCA-CNN. Chen, Zhang, Xiao, Nie, Shao, Liu, Chua; CVPR 2017; arXiv:1611.05594.

The origin of the term channel-wise attention. Weights depend on the features V, of C channels and P
positions, and on what a decoder is about to say, the condition h in R^q (the state of its LSTM):

    channel:  b = tanh(v (x) W_c + b_c + W_hc h),  v = mean_p V_p,  b: C x k;   beta = softmax over C of b u
    spatial:  a = tanh(V W_s + b_s + W_hs h),                       a: P x k;   alpha = softmax over P of a u'
    order "cs":  beta from V, alpha from V beta;     order "sc":  alpha from V, beta from V alpha
    y = V beta alpha: modulated, not summed

Defaults follow the authors' code (Theano, order "cs", k = 512, layers from N(0, 0.01^2)), which multiplies
beta by C and alpha by P, so that the mean weight is 1; in the paper's equations (`rescale=False`) they sum
to 1, and features shrink by C P, 10^5 in ResNet-152. Channels compete, unlike under SE's sigmoids. Paper and
code add a scalar to b u and another to a u'; a softmax does not see them, so they are left out. The code's
last spatial attention adds its scalar to u' instead, before the product: a mistake, not repeated here.

Without a condition the terms in h are dropped, which is what h = 0 would give.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights, weigh
from chanattn.attention.registry import register
from chanattn.errors import UsageError

ORDERS = ("cs", "sc")

_small_normal = nn.initializers.normal(0.01)


class Score(nn.Module):
    """One logit an item, tanh(f W + b + W_h h) u: (N, M, F) [, (N, q)] -> (N, M), in float32.

    F k + 2 k parameters, and q k where there is a condition.

    Attributes:
        width: k.
        param_dtype: Type of the parameters.
    """

    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        """Score M items; the product with W has the type of the features.

        Raises:
            UsageError: A condition is given to parameters that were initialised without one.
        """
        own = {"param_dtype": self.param_dtype, "kernel_init": _small_normal}
        z = nn.Dense(self.width, dtype=features.dtype, name="features", **own)(features)
        if condition is not None:
            if not self.is_initializing() and not self.has_variable("params", "condition"):
                raise UsageError("sca takes no condition here: it was initialised without one")
            state = nn.Dense(
                self.width, use_bias=False, dtype=jnp.float32, name="condition", **own
            )(condition)
            z = z + state[:, None]
        hidden = jnp.tanh(z.astype(jnp.float32))
        return nn.Dense(1, use_bias=False, dtype=jnp.float32, name="score", **own)(hidden)[..., 0]


@register(
    "sca",
    year=2017,
    axes=(
        "mean",
        "tanh layer shared by all channels, conditioned",
        "C softmax; then a spatial softmax",
    ),
    placement="head",
    citation="Chen, Zhang, Xiao, Nie, Shao, Liu, Chua. SCA-CNN: Spatial and Channel-wise Attention in "
    "Convolutional Networks for Image Captioning. CVPR 2017. arXiv:1611.05594",
    parameters="C k + 5 k",
)
class SCA(Attention):
    """Channel and spatial attention by softmaxes, on the features and a decoder's state.

    k = 512. A condition of width q adds 2 q k; its parameters exist only if one is given at initialisation.

    Attributes:
        width: k of the hidden layers.
        order: "cs", channels first, or "sc".
        spatial: False leaves the channel attention alone.
        rescale: The mean weight is 1; False: divided by C and by P, the weights of the paper's equations.
        gate: Of the channels: a soft or hard gate of `functional.gate`.
    """

    width: int = 512
    order: str = "cs"
    spatial: bool = True
    rescale: bool = True
    gate: str | gates.Gate = "softmax"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"sca: width must be positive, not {self.width}")
        if self.order not in ORDERS:
            raise UsageError(f"sca: unknown order {self.order!r}; valid: {', '.join(ORDERS)}")
        if self.order == "sc" and not self.spatial:
            raise UsageError(
                "sca: order 'sc' starts with the spatial attention, which spatial=False omits"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Reweigh (N, H, W, C), on condition (N, q) if there is one; the shape and the type stay.

        Raises:
            UsageError: The condition has not this shape, or was missing at initialisation.
        """
        x = self.feature_map(x)
        if condition is not None and (jnp.ndim(condition) != 2 or len(condition) != len(x)):
            raise UsageError(
                f"sca: condition must have shape ({len(x)}, width of the state), not {jnp.shape(condition)}"
            )
        if self.order == "sc":
            x = self._over_positions(x, condition)
        x = self._over_channels(x, condition, train)
        if self.order == "cs" and self.spatial:
            x = self._over_positions(x, condition)
        return x

    def _over_channels(self, x: jax.Array, condition: jax.Array | None, train: bool) -> jax.Array:
        score = Score(self.width, self.param_dtype, name="channel_score")
        logits = score(squeezes.mean(x)[..., None], condition)
        weights = weigh(self, gates.get(self.gate), logits, train)
        weights = weights if self.rescale else weights / x.shape[-1]
        weights = sow_weights(self, weights, "channel")
        return x * over_space(weights, x)

    def _over_positions(self, x: jax.Array, condition: jax.Array | None) -> jax.Array:
        pictures, height, width, channels = x.shape
        score = Score(self.width, self.param_dtype, name="spatial_score")
        logits = score(x.reshape(pictures, height * width, channels), condition)
        weights = jax.nn.softmax(logits, axis=-1) * (height * width if self.rescale else 1)
        weights = weights.reshape(pictures, height, width, 1)
        weights = sow_weights(self, weights, "spatial")
        return x * over_space(weights, x)
