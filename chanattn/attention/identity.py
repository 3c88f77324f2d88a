"""No attention: the baseline that everything is compared with."""

import flax.linen as nn
import jax

from chanattn.attention.module import Attention
from chanattn.attention.registry import register


@register(
    "identity",
    citation="none",
    axes=("none", "none", "1"),
    identity_at_init=True,
    parameters="0",
)
class Identity(Attention):
    """No attention: y = x."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Return x."""
        x = self.feature_map(x)
        return x
