"""Blocks of mobile networks: inverted residuals and their relatives.

Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018.
arXiv:1801.04381. Squeeze-and-excitation sits at the placement "mid". `chanattn.models.ghost_blocks` and
`rex_block` have more.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from chanattn.attention.widths import make_divisible
from chanattn.layers import Conv, MixedConv
from chanattn.layers.norm import EPSILON
from chanattn.models.block import Block
from chanattn.models.blocks import ANTI_ALIAS


class MobileBlock(Block, kw_only=True):  # type: ignore[call-arg]
    """What the blocks share: a branch, to which the input is added where the shape allows it.

    There alone `zero_init` acts, and of a branch that ends in an activation never: it would not leave zero.

    Attributes:
        filters: Output channels.
        stride: Of the convolution that is not 1x1.
        expansion: Width of the branch over the input's, rounded to a multiple of 8.
        kernel_size: Of that convolution.
        skip: Whether the input is added at all.
        padding: Of the convolutions, see `layers.Conv`.
        epsilon: Of the norms.
        anti_alias: A key of `blocks.ANTI_ALIAS`: a pool behind the norm of that convolution has its stride.
        fixed_width: Of the branch; 0: the expansion says it.
        pointwise: Groups of the first and of the last 1x1 convolution, each one a convolution (MixNet).
    """

    filters: int
    stride: int = 1
    expansion: float = 6
    kernel_size: int | tuple[int, ...] = 3
    skip: bool = True
    padding: str = "symmetric"
    epsilon: float = EPSILON
    anti_alias: str = ""
    fixed_width: int = 0
    pointwise: tuple[int, int] = (1, 1)

    always_shortcut: ClassVar[bool] = False

    @property
    def conv_stride(self) -> int:
        """Of that convolution; 1 where a pool halves the map."""
        return 1 if self.anti_alias else self.stride

    def pool(self, y: jax.Array) -> jax.Array:
        """The pool that takes over the stride, if there is one."""
        return y if self.stride == self.conv_stride else ANTI_ALIAS[self.anti_alias](y, self.stride)

    def conv_types(self) -> dict[str, Any]:
        """Arguments of every convolution."""
        return self.types() | {"padding": self.padding}

    def conv_layer(self, features: int, kernel_size: Any, **more: Any) -> nn.Module:
        """A convolution, or several of them side by side if there are several sizes."""
        kind = MixedConv if isinstance(kernel_size, tuple) else Conv
        return kind(features, kernel_size, **self.conv_types(), **more)

    def norm_types(self) -> dict[str, Any]:
        """Arguments of every norm."""
        return self.types() | {"epsilon": self.epsilon}

    def width(self, x: jax.Array) -> int:
        """Of the branch."""
        return self.fixed_width or expanded(x.shape[-1], self.expansion)

    def has_shortcut(self, x: jax.Array) -> bool:
        """Whether the input is added."""
        return self.skip and self.stride == 1 and x.shape[-1] == self.filters

    def join(self, x: jax.Array, y: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """The sum of input and branch, if there is one, with the attention around it."""
        y, state = self.attend("post", y, state)
        if self.has_shortcut(x):
            x, state = self.attend("identity", x, state)
            y = self.drop_branch(y) + x
        return self.attend("after_sum", y, state)


class InvertedResidualBlock(MobileBlock):
    """1x1 expansion, depthwise convolution, linear 1x1 projection.

    Attributes:
        expansion: 1: there is no expansion.
        last_act: An activation follows the projection (MobileNetV1, LCNet).
    """

    last_act: bool = False

    def _pointwise(self, which: int) -> int | tuple[int, ...]:
        groups = self.pointwise[which]
        return (1,) * groups if groups > 1 else 1

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = x.shape[-1]
        y, state = self.attend("pre", x, state)
        if self.expansion != 1:
            width = self.width(x)
            y = self.conv(1, y, width, self._pointwise(0))
            y = self.norm(1, y, act=True)
        y = self.conv(2, y, width, self.kernel_size, stride=self.conv_stride, groups=width)
        y, state = self.attend("pre_norm", y, state)
        y = self.pool(self.norm(2, y, act=True))
        y, state = self.attend("mid", y, state)
        y = self.conv(3, y, self.filters, self._pointwise(1))
        silent = self.has_shortcut(x) and not self.last_act
        y = self.norm(3, y, act=self.last_act, silent=silent)
        return self.join(x, y, state)


class FusedBlock(MobileBlock):
    """Convolution to the width of the branch, linear 1x1 projection (Fused-MBConv, EdgeTPU)."""

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        y, state = self.attend("pre", x, state)
        y = self.conv(1, y, self.width(x), self.kernel_size, stride=self.conv_stride)
        y = self.pool(self.norm(1, y, act=True))
        y, state = self.attend("mid", y, state)
        y = self.conv(2, y, self.filters, 1)
        y, state = self.attend("pre_norm", y, state)
        y = self.norm(2, y, silent=self.has_shortcut(x))
        return self.join(x, y, state)


class ConvBlock(MobileBlock):
    """One convolution; its norm, for the placement "pre_norm", is the only one. There is no expansion."""

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        y, state = self.attend("pre", x, state)
        y = self.conv(1, y, self.filters, self.kernel_size, stride=self.conv_stride)
        y, state = self.attend("pre_norm", y, state)
        y = self.pool(self.norm(1, y, act=True))
        y, state = self.attend("mid", y, state)
        return self.join(x, y, state)


def expanded(channels: int, expansion: float) -> int:
    """Width of a branch."""
    return make_divisible(channels * expansion, 8, keep=0.9)
