"""Gaussian context transformer. Ruan, Wang, Zheng, Zheng; CVPR 2021.

    s = mean_p x_p;   n_c = (s_c - mean_c s) / std_c s;   w_c = exp(-n_c^2 / (2 c^2));   y = x w

A channel counts the less, the further its mean is from that of all channels: nothing is learnt (GCT-B0,
c = 2), or c alone (GCT-B1, `learned=True`: c = 3 sigmoid(theta) + 1, theta = 0 at the start). No official
code is known; the 3 and the 1 are those of a third party's.

    preset       std over the channels
    paper        sqrt(population variance + 1e-5)
    thirdparty   unbiased, nothing added (0 / 0 where all channels are alike; here n = 0)

Two other copies multiply by c where the paper divides by c^2: with c = 2, exp(-n^2) in place of
exp(-n^2 / 8). The paper calls it GCT, a name that `gct` here has had a year longer.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention import squeeze
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register
from chanattn.errors import UsageError

PRESETS = ("paper", "thirdparty")


def standardize(s: jax.Array, preset: str) -> jax.Array:
    """The n of (N, C): mean 0 and deviation 1 over the channels; 0 where all channels are alike."""
    distance = s - jnp.mean(s, axis=-1, keepdims=True)
    total = jnp.sum(jnp.square(distance), axis=-1, keepdims=True)
    if preset == "paper":
        return distance / jnp.sqrt(total / s.shape[-1] + 1e-5)
    deviation = squeeze.root(total / max(s.shape[-1] - 1, 1))
    return distance / jnp.where(deviation > 0, deviation, 1)


def gaussian(z: jax.Array) -> jax.Array:
    """exp(-z^2 / 2), in (0, 1], 1 at 0."""
    return jnp.exp(-0.5 * jnp.square(z))


class Standardization(nn.Module):
    """z = n / c on (N, C). One parameter if c is learned.

    Attributes:
        preset: "paper" or "thirdparty".
        deviation: c; None: learned.
        param_dtype: Type of the parameter.
    """

    preset: str
    deviation: float | None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        n = standardize(s, self.preset)
        if self.deviation is not None:
            return n / self.deviation
        theta = self.param("theta", nn.initializers.zeros, (), self.param_dtype)
        return n / (3 * jax.nn.sigmoid(theta.astype(jnp.float32)) + 1)


@register(
    "gaussian_ct",
    year=2021,
    axes=("mean", "standardisation over channels", "Gaussian"),
    citation="Ruan, Wang, Zheng, Zheng. Gaussian Context Transformer. CVPR 2021",
)
def gaussian_ct(
    preset: str = "paper",
    learned: bool = False,
    deviation: float | None = None,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Gaussian context transformer: channels near the mean of all channels count most.

    Parameters: 0

    One with `learned`.

    Args:
        preset: "paper" or "thirdparty", see the head of this file.
        learned: Learn c (GCT-B1) in place of fixing it (GCT-B0).
        deviation: c, if it is fixed; None: 2.
        param_dtype: Type of the parameter.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: Unknown preset, or a deviation that is not positive or is to be learned.
    """
    if preset not in PRESETS:
        raise UsageError(f"gaussian_ct: unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    if learned and deviation is not None:
        raise UsageError(f"gaussian_ct: deviation {deviation} is fixed, so it cannot be learned")
    if deviation is not None and deviation <= 0:
        raise UsageError(f"gaussian_ct: deviation must be positive, not {deviation}")
    fixed = 2.0 if deviation is None else deviation
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(
            Standardization,
            preset=preset,
            deviation=None if learned else fixed,
            param_dtype=param_dtype,
        ),
        gate=gaussian,
        **module,
    )
