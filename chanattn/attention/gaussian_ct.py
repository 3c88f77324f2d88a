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

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
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
    parameters="0",
    citation="Ruan, Wang, Zheng, Zheng. Gaussian Context Transformer. CVPR 2021",
)
class GaussianCT(Attention):
    """Gaussian context transformer: channels near the mean of all channels count most.

    One parameter with `learned`.

    Attributes:
        preset: "paper" or "thirdparty", see the head of this file.
        learned: Learn c (GCT-B1) in place of fixing it (GCT-B0).
        deviation: c, if it is fixed; None: 2.

    Raises:
        UsageError: Unknown preset, or a deviation that is not positive or is to be learned.
    """

    preset: str = "paper"
    learned: bool = False
    deviation: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"gaussian_ct: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}"
            )
        if self.learned and self.deviation is not None:
            raise UsageError(
                f"gaussian_ct: deviation {self.deviation} is fixed, so it cannot be learned"
            )
        if self.deviation is not None and self.deviation <= 0:
            raise UsageError(f"gaussian_ct: deviation must be positive, not {self.deviation}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        fixed = 2.0 if self.deviation is None else self.deviation
        deviation = None if self.learned else fixed
        z = Standardization(self.preset, deviation, self.param_dtype, name="mix")(squeeze.mean(x))
        w = gaussian(z)
        w = sow_weights(self, w)
        return x * over_space(w, x)
