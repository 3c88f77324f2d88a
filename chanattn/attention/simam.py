"""SimAM. Yang, Zhang, Li, Xie; ICML 2021 (PMLR 139).

    v_c = sum_p (x_pc - mean_c)^2 / (P - 1)
    E_pc = (x_pc - mean_c)^2 / (4 (v_c + lambda)) + 1/2;   y = x sigmoid(E)

A weight for every channel at every position, without parameters. The variance is the unbiased one. The
authors' code inserts it after the second convolution of a block, before that convolution's norm, and uses
lambda = 1e-4 on CIFAR, 0.1 on ImageNet. With a single position (P = 1) the variance is undefined (0 / 0
in the reference); here it is zero, so that every weight is sigmoid(1/2).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.errors import UsageError


def energy(x: jax.Array, regularization: float) -> jax.Array:
    """E of every value of (N, H, W, C), in float32: how far it stands out from its channel, plus 1/2."""
    x = x.astype(jnp.float32)
    distance = jnp.square(x - jnp.mean(x, axis=(1, 2), keepdims=True))
    positions = x.shape[1] * x.shape[2]
    variance = jnp.sum(distance, axis=(1, 2), keepdims=True) / max(positions - 1, 1)
    return distance / (4 * (variance + regularization)) + 0.5


@register(
    "simam",
    year=2021,
    axes=("squared distance from the mean", "division by the variance", "sigmoid"),
    placement="pre_norm",
    citation="Yang, Zhang, Li, Xie. SimAM: A Simple, Parameter-Free Attention Module for Convolutional "
    "Neural Networks. ICML 2021",
    parameters="0",
)
class SimAM(Attention):
    """Weights from an energy function, one for every channel and position, in [0.62, 1).

    Attributes:
        regularization: lambda of the energy; 1e-4 for CIFAR, 0.1 for ImageNet.
    """

    regularization: float = 1e-4

    def __post_init__(self) -> None:
        if self.regularization <= 0:
            raise UsageError(f"simam: regularization must be positive, not {self.regularization}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh every value of (N, H, W, C)."""
        x = self.feature_map(x)
        weights = jax.nn.sigmoid(energy(x, self.regularization))
        weights = sow_weights(self, weights)
        return x * over_space(weights, x)
