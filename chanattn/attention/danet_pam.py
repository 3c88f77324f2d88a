"""The position attention module of DANet. Fu, Liu, Tian, Li, Bao, Fang, Lu; CVPR 2019; arXiv:1809.02983.

    T = x W_T, S = x W_S, (P, d);  G = x W_G, (P, C);   A = softmax_q(T S^T), (P, P);   y = x + gamma A G

gamma starts at 0, so that the module starts as the identity. d = C / 8; all layers have biases, and the
inner products no factor, unlike those of `non_local`, which has a narrower G, a layer and a norm behind A G.
Time and memory grow with P^2. The bias of W_S adds the same to a whole row of the softmax, so its gradient is
zero. The channel attention beside it is `danet_cam`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.danet_cam import CITATION
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.non_local import affinities
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule_of
from chanattn.layers import Conv


@register(
    "danet_pam",
    year=2019,
    axes=("attention over all positions, for every position", "two projections", "x + gamma A G"),
    placement="head",
    identity_at_init=True,
    citation=CITATION,
    parameters="C^2 + 2 C d + C + 2 d + 1",
)
class DANetPositionAttention(Attention):
    """Self-attention among positions: each adds a mixture of all, chosen by their inner products.

    d = max(C // 8, 1). The identity at initialisation.

    Attributes:
        reduction: r of the width d = C / r of the inner products.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
    """

    reduction: int = 8
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None

    def __post_init__(self) -> None:
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "danet_pam")

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Add to every position of (N, H, W, C) a mixture of all."""
        x = self.feature_map(x)
        channels = x.shape[-1]

        def project(name: str, width: int) -> jax.Array:
            types = {"dtype": x.dtype, "param_dtype": self.param_dtype}
            y = Conv(width, 1, use_bias=True, name=name, **types)(x)
            return y.reshape(x.shape[0], -1, width)

        width = self._width_rule()(channels)
        weights = affinities(project("query", width), project("key", width), 1.0)
        weights = sow_weights(self, weights)
        mixed = jnp.einsum("npq,nqd->npd", weights.astype(x.dtype), project("value", channels))
        gamma = self.param("gamma", nn.initializers.zeros, (), self.param_dtype)
        return x + gamma.astype(x.dtype) * mixed.reshape(x.shape)
