"""Global response normalisation. Woo, Debnath, Hu, Chen, Liu, Kweon, Xie; CVPR 2023; arXiv:2301.00808.

    g_c = sqrt(sum_p x_pc^2);   n_c = g_c / (mean_c g_c + 1e-6);   y = x + gamma_c x n_c + beta_c

gamma = beta = 0 at the start: the identity. From ConvNeXt V2, where it follows the activation of the
inverted bottleneck; the place nearest to that in a ResNet block is "mid". Authors' code and timm agree. An
all-zero channel has the gradient 0 through its norm, as in PyTorch.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register


def response(x: jax.Array) -> jax.Array:
    """The n (N, C) of (N, H, W, C) in float32: the norm of a channel over that of the average channel."""
    g = squeeze.l2(x)
    return g / (jnp.mean(g, axis=-1, keepdims=True) + 1e-6)


@register(
    "grn",
    year=2023,
    axes=(
        "l2 norm",
        "division by the mean over channels, per-channel scale",
        "1 + z, plus a shift",
    ),
    placement="mid",
    identity_at_init=True,
    citation="Woo, Debnath, Hu, Chen, Liu, Kweon, Xie. ConvNeXt V2: Co-designing and Scaling ConvNets with "
    "Masked Autoencoders. CVPR 2023. arXiv:2301.00808",
    parameters="2 C",
)
class GlobalResponseNorm(Attention):
    """Global response normalisation: channels compete by their norms, plus a shift."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        shape = x.shape[-1:]
        gamma = self.param("gamma", nn.initializers.zeros, shape, self.param_dtype)
        beta = self.param("beta", nn.initializers.zeros, shape, self.param_dtype)
        weights = 1 + gamma * response(x)
        weights = sow_weights(self, weights)
        return x * over_space(weights, x) + beta.astype(x.dtype)
