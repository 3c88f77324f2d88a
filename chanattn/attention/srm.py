"""Style-based recalibration. Lee, Kim, Nam; ICCV 2019; arXiv:1903.10829.

    t_c = [mean_p x_pc, std_p x_pc];   z_c = a_c mean_c + b_c std_c;   w = sigmoid(BN(z));   y = x w

std is the root of the unbiased variance plus 1e-5, as in the authors' code, whose a and b start at zero.
The batch norm sees one value a picture and channel, so in training the weights depend on the other pictures
of the batch, and of a batch of one nothing but its shift is left. With a single position (P = 1) the
reference is NaN; here the variance is 0.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm


class StyleIntegration(nn.Module):
    """z_c = BN(sum_k a_kc s_kc): one weight a statistic and channel. (K + 2) C parameters."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map K statistics (N, K, C), or one (N, C), to (N, C)."""
        s = s.reshape(s.shape[0], -1, s.shape[-1])
        kernel = self.param("kernel", nn.initializers.zeros, s.shape[1:], self.param_dtype)
        z = jnp.sum(s * kernel, axis=1)
        return BatchNorm(train, name="norm", param_dtype=self.param_dtype)(z)


@register(
    "srm",
    year=2019,
    axes=("mean and standard deviation", "per-channel scales, batch norm", "sigmoid"),
    parameters="4 C",
    identity_if=lambda module: gates.is_open_at(gates.of(module), 0.0),
    citation="Lee, Kim, Nam. SRM: A Style-Based Recalibration Module for Convolutional Neural Networks. "
    "ICCV 2019. arXiv:1903.10829",
)
class SRM(Attention):
    """Style-based recalibration: mean and deviation of each channel, weighed and batch-normalised.

    Attributes:
        squeeze: Statistics joined by "+"; "mean", "std" or "max" alone for the paper's ablation.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: No such squeeze, or one that does not pool.
    """

    squeeze: str = "mean+std"
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.squeeze == "none":
            raise UsageError(
                "srm: squeeze 'none' does not pool; valid: statistics such as 'mean+std'"
            )
        squeezes.get(self.squeeze)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        s = squeezes.get(self.squeeze)(x)
        w = self.weigh(StyleIntegration(self.param_dtype, name="mix")(s, train), train)
        return x * over_space(w, x)
