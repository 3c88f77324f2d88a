"""The block of ReXNet.

Han, Yun, Heo, Yoo. Rethinking Channel Dimensions for Efficient Model Design. CVPR 2021. arXiv:2007.00992.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import activation
from chanattn.models.mobile_blocks import MobileBlock


class RexBlock(MobileBlock):
    """Inverted residual whose input is added to the first of its channels; SiLU, then ReLU6.

    The attention at "mid" is in front of the ReLU6.
    """

    def has_shortcut(self, x: jax.Array) -> bool:
        """Whether the input is added, to as many channels as it has."""
        return self.stride == 1 and x.shape[-1] <= self.filters

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = x.shape[-1]
        y, state = self.attend("pre", x, state)
        if self.expansion != 1:
            width = self.width(x)
            y = self.norm(1, self.conv(1, y, width, 1), act=True)
        y = self.conv(2, y, width, 3, stride=self.stride, groups=width)
        y, state = self.attend("pre_norm", y, state)
        y, state = self.attend("mid", self.norm(2, y), state)
        y = self.conv(3, activation("relu6")(y), self.filters, 1)
        y = self.norm(3, y)
        y, state = self.attend("post", y, state)
        if self.has_shortcut(x):
            x, state = self.attend("identity", x, state)
            missing = self.filters - x.shape[-1]
            y = self.drop_branch(y) + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
        return self.attend("after_sum", y, state)
