"""Shuffle attention. Zhang, Yang; ICASSP 2021; arXiv:2102.00240.

C channels in G groups; the first half x0 and the second half x1 of every group get

    channel: y0 = x0 sigmoid(a mean_p x0 + b);   spatial: y1 = x1 sigmoid(c GN(x1) + d)

and then channels are shuffled between the halves of the map: channel i C/2 + j goes to 2 j + i. GN normalises
every channel over space (eps 1e-5) and has a scale and a shift. All parameters have C / 2G entries, which the
groups share; a = c = 0 and b = d = 1 at the start, so every weight is 0.73.

The authors' code has 64 groups, on 256 channels and more; where C is smaller there are fewer here, of four
channels or more.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import squeeze
from chanattn.attention.grouping import check_groups, count_groups
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register


def instance_norm(x: jax.Array) -> jax.Array:
    """Every channel of (N, H, W, ...) in float32 with mean 0 and variance 1 over space (eps 1e-5)."""
    x = x.astype(jnp.float32)
    distance = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    variance = jnp.mean(jnp.square(distance), axis=(1, 2), keepdims=True)
    return distance * jax.lax.rsqrt(variance + 1e-5)


def shuffle_halves(x: jax.Array) -> jax.Array:
    """Channels of (N, H, W, C) taken in turn from its first and its second half."""
    halves = x.reshape(*x.shape[:3], 2, -1)
    return jnp.swapaxes(halves, 3, 4).reshape(x.shape)


class Affine(nn.Module):
    """z = scale x + bias, of one entry a channel of the last axis."""

    scale_init: nn.initializers.Initializer = nn.initializers.ones
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., C) to (..., C)."""
        scale = self.param("scale", self.scale_init, x.shape[-1:], self.param_dtype)
        return x * scale + self.param("bias", self.bias_init, x.shape[-1:], self.param_dtype)


@register(
    "shuffle",
    year=2021,
    axes=(
        "mean; the map itself",
        "per-channel scale; instance norm",
        "sigmoid, then a channel shuffle",
    ),
    order_matters=True,
    citation="Zhang, Yang. SA-Net: Shuffle Attention for Deep Convolutional Neural Networks. ICASSP 2021. "
    "arXiv:2102.00240",
    parameters="3 C / G",
)
class ShuffleAttention(Attention):
    """Shuffle attention: in every group half the channels get channel, half spatial attention.

    G is the largest number up to 64 that leaves groups of four channels or more, of even size.

    Attributes:
        groups: Number of groups G; None: as above.
    """

    groups: int | None = None

    def __post_init__(self) -> None:
        check_groups("shuffle", self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh and reorder the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        groups = count_groups("shuffle", x.shape[-1], self.groups, multiple=2)
        grouped = x.reshape(*x.shape[:3], groups, 2, -1)
        x0, x1 = grouped[..., 0, :], grouped[..., 1, :]

        def affine(name: str) -> Affine:
            return Affine(nn.initializers.zeros, nn.initializers.ones, self.param_dtype, name=name)

        channel = jax.nn.sigmoid(affine("channel_affine")(squeeze.mean(x0)))
        channel = sow_weights(self, channel.reshape(x.shape[0], -1)).reshape(channel.shape)
        norm = Affine(param_dtype=self.param_dtype, name="norm")
        spatial = jax.nn.sigmoid(affine("spatial_affine")(norm(instance_norm(x1))))
        flat = sow_weights(self, spatial.reshape(*x.shape[:3], -1), "spatial")
        spatial = flat.reshape(spatial.shape)
        y0 = x0 * channel[:, None, None].astype(x.dtype)
        y = jnp.stack([y0, x1 * spatial.astype(x.dtype)], axis=4)
        return shuffle_halves(y.reshape(x.shape))
