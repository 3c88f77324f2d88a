"""Spatial group-wise enhance. Li, Hu, Yang; 2019; arXiv:1905.09646.

    c_p = <x_p, mean_p x> inside a group g of channels;   n_p = (c_p - mean_p c) / (std_p c + 1e-5)
    w_p = sigmoid(gamma_g n_p + beta_g);   y = x w

One weight a position and group. gamma = 0 and beta = 1 at the start, so every weight is 0.73. The authors'
code has 64 groups, on 256 channels and more; where C is smaller there are fewer here, of four channels or
more, since the dot product of a single channel is that channel again. Their std is the unbiased one (the
paper writes 1 / P). With a single position (P = 1), where that is 0 / 0, and on silent groups, n is 0.
The paper's Table 2 has other starts (`init_gamma`, `init_beta`), its Table 3 n = c (`use_norm=False`).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import squeeze
from chanattn.attention.grouping import check_groups, count_groups
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.errors import UsageError


def agreement(x: jax.Array, groups: int) -> jax.Array:
    """The c (N, H, W, G) of (N, H, W, C) in float32: how well a position agrees with its group's mean."""
    grouped = x.astype(jnp.float32).reshape(*x.shape[:3], groups, -1)
    return jnp.sum(grouped * squeeze.mean(x).reshape(x.shape[0], 1, 1, groups, -1), axis=-1)


def over_positions(c: jax.Array) -> jax.Array:
    """The n of c (N, H, W, G): mean 0 and standard deviation 1 over the positions."""
    distance = c - jnp.mean(c, axis=(1, 2), keepdims=True)
    positions = c.shape[1] * c.shape[2]
    variance = jnp.sum(jnp.square(distance), axis=(1, 2), keepdims=True) / max(positions - 1, 1)
    return distance / (squeeze.root(variance) + 1e-5)


@register(
    "sge",
    year=2019,
    axes=(
        "agreement with the group's mean",
        "normalisation over space, per-group scale",
        "sigmoid",
    ),
    order_matters=True,
    citation="Li, Hu, Yang. Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional "
    "Networks. 2019. arXiv:1905.09646",
    parameters="2 G",
)
class SpatialGroupEnhance(Attention):
    """Spatial group-wise enhance: one weight a position and group of channels.

    G is the largest divisor of C up to 64 that leaves four channels a group.

    Attributes:
        groups: Number of groups G; None: as above.
        init_gamma: Start of the scales gamma.
        init_beta: Start of the shifts beta.
        use_norm: Normalise the agreement over the positions.
    """

    groups: int | None = None
    init_gamma: float = 0.0
    init_beta: float = 1.0
    use_norm: bool = True

    def __post_init__(self) -> None:
        check_groups("sge", self.groups)
        if not math.isfinite(self.init_gamma) or not math.isfinite(self.init_beta):
            raise UsageError(
                f"sge: init_gamma and init_beta must be finite, not {self.init_gamma}, {self.init_beta}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the positions of every group of (N, H, W, C)."""
        x = self.feature_map(x)
        groups = count_groups("sge", x.shape[-1], self.groups)
        start = nn.initializers.constant
        gamma = self.param("gamma", start(self.init_gamma), (groups,), self.param_dtype)
        beta = self.param("beta", start(self.init_beta), (groups,), self.param_dtype)
        c = agreement(x, groups)
        weights = jax.nn.sigmoid(gamma * (over_positions(c) if self.use_norm else c) + beta)
        weights = sow_weights(self, weights)
        y = x.reshape(*x.shape[:3], groups, -1) * weights[..., None].astype(x.dtype)
        return y.reshape(x.shape)
