"""The channel attention module of DANet. Fu, Liu, Tian, Li, Bao, Fang, Lu; CVPR 2019; arXiv:1809.02983.

    E = X^T X, (C, C), X the map as (P, C);   A = softmax of the rows;   y = x + beta A x

beta starts at 0, so that the module starts as the identity. There are no projections and no factor in front
of E, whose entries grow with P: at P = 10^4 the softmax is an argmax.

The paper takes softmax(E), channels mix with those most like them (`preset="paper"`); the authors' code takes
softmax(max E - E), which is softmax(-E): those least like them win ("official", the default, from which the
published numbers come; mmsegmentation follows it). Energies and softmax are float32.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.errors import UsageError
from chanattn.layers.softmax import softmax

CITATION = (
    "Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019. "
    "arXiv:1809.02983"
)
PRESETS = {"official": -1.0, "paper": 1.0}  # the sign of E


def energies(x: jax.Array) -> jax.Array:
    """E_cd = sum_p x_pc x_pd of (N, H, W, C), (N, C, C) in float32."""
    x = x.astype(jnp.float32)
    # A softmax of numbers of order P: the exponent needs all digits.
    return jnp.einsum("nhwc,nhwd->ncd", x, x, precision=jax.lax.Precision.HIGHEST)


@register(
    "danet_cam",
    year=2019,
    axes=("channel covariances, not centred", "softmax over channels", "x + beta A x"),
    placement="head",
    identity_at_init=True,
    citation=CITATION,
    parameters="1",
)
class DANetChannelAttention(Attention):
    """Self-attention among channels: each adds a mixture of all, chosen by their inner products.

    The identity at initialisation.

    Attributes:
        preset: "official" (softmax(-E)) or "paper" (softmax(E)).
        param_dtype: Type of the parameter.
    """

    preset: str = "official"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"danet_cam: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Mix the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        beta = self.param("beta", nn.initializers.zeros, (), self.param_dtype)
        weights = softmax(PRESETS[self.preset] * energies(x), axis=-1)
        weights = sow_weights(self, weights)
        mixed = jnp.einsum("ncd,nhwd->nhwc", weights.astype(x.dtype), x)
        return x + beta.astype(x.dtype) * mixed
