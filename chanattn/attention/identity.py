"""No attention: the baseline that everything is compared with."""

import flax.linen as nn
import jax

from chanattn.attention.core import refuse_condition
from chanattn.attention.registry import register


@register("identity", citation="none", axes=("none", "none", "1"), identity_at_init=True)
class Identity(nn.Module):
    """No attention: y = x.

    Parameters: 0
    """

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Return x."""
        refuse_condition(self, condition)
        return x
