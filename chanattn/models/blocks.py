"""Residual blocks of ResNets with attention slots.

Four blocks: basic and bottleneck (He et al., CVPR 2016, arXiv:1512.03385), and their pre-activation forms
(He et al., ECCV 2016, arXiv:1603.05027). The stride is on the 3x3 convolution, as in torchvision and timm,
unless `stride_first`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import Conv, avg_pool, batch_norm
from chanattn.models.block import Block, refuse_conv_slot

SHORTCUTS = ("zero_pad", "projection", "projection3x3", "avg_pool")


class ResidualBlock(Block):
    """What the blocks of ResNets share: their arguments, the shortcut and the sum.

    Attributes:
        planes: Width of the block before expansion and grouping.
        stride: Of the block.
        expansion: Output channels over planes.
        shortcut: What the shortcut does where the shape changes: "zero_pad" (strided, channels padded with
            zeros: option A), "projection" (strided 1x1 convolution: option B), "projection3x3" (a 3x3 one
            where it strides: SENet-154), "avg_pool" (2x2 average pool, then a 1x1 convolution: ResNet-D).
        cardinality: Groups of the bottleneck's 3x3 convolution.
        base_width: Width of a group at 64 planes.
        group_width: Width of a group whatever the planes; 0: `cardinality` says it.
        reduce_first: The bottleneck's first convolution is narrower than the second by this factor.
        stride_first: The bottleneck's stride is on the first convolution (Caffe).
        rectify_branch: The basic block's branch ends in an activation, before the attention (Caffe's
            SE-ResNet-18 and 34).
    """

    planes: int
    stride: int = 1
    expansion: int = 1
    shortcut: str = "projection"
    cardinality: int = 1
    base_width: int = 64
    group_width: int = 0
    reduce_first: int = 1
    stride_first: bool = False
    rectify_branch: bool = False

    pre_activation = False

    @property
    def filters(self) -> int:
        """Output channels."""
        return self.planes * self.expansion

    def __post_init__(self) -> None:
        if self._has_conv_slot():  # A mechanism refuses what it cannot be when it is made.
            self._conv_mechanism(name=None, parent=None)
        super().__post_init__()

    @property
    def _width(self) -> int:
        """Output channels of the convolution that the conv slot stands for."""
        return self.planes

    @property
    def _groups(self) -> int:
        return 1

    def _has_conv_slot(self) -> bool:
        return self.slots.conv.at("conv", self.stage)

    def _conv_mechanism(self, **more: Any) -> nn.Module:
        return self.slots.conv.build(
            filters=self._width,
            groups=self._groups,
            num_classes=self.num_classes,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            **more,
        )

    def _conv_slot(self, number: int, x: jax.Array, train: bool, stride: int) -> jax.Array:
        """The conv mechanism in place of convolution `number`, its norm and activation.

        It cannot be looked into: attention whose place is between these three sits behind it.
        """
        name = f"attention{number}"
        x = self._attend("pre_conv", x, train, name)
        y = self._conv_mechanism(name=f"conv{number}", stride=stride)(x, train=train)
        if number == 2:
            y = self._attend("pre_norm", y, train)
        for placement in ("before_norms", "after_norms"):
            y = self._attend(placement, y, train, name)
        return y

    def _shortcut(self, x: jax.Array, train: bool) -> jax.Array:
        if self.stride == 1 and x.shape[-1] == self.filters:
            return x
        if self.shortcut == "zero_pad":
            extra = self.filters - x.shape[-1]
            x = x[:, :: self.stride, :: self.stride]
            return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, extra)))
        return Shortcut(
            self.filters,
            self.stride,
            self.shortcut,
            use_norm=not self.pre_activation,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="shortcut",
        )(x, train)

    def _end(
        self,
        number: int,
        y: jax.Array,
        features: int,
        kernel_size: int,
        x: jax.Array,
        train: bool,
    ) -> jax.Array:
        """The last convolution of the branch with its norm, and the sum with the shortcut of x."""
        shortcut = self._shortcut(x, train)
        layer = functools.partial(self._branch_conv_norm, number, y, features, kernel_size, train)
        if self.rectify_branch:
            return self._join(layer(act=True), shortcut, train)
        gate = self.slots.gate
        if train or gate.at("post", self.stage) or gate.at("identity", self.stage):
            return self._join(layer(last=True), shortcut, train)
        # Nothing comes between norm and sum, so one pass may compute both.
        y = layer(last=True, act=True, addend=shortcut)
        return self._attend("after_sum", y, train)

    def _join(self, y: jax.Array, shortcut: jax.Array, train: bool) -> jax.Array:
        """Sum of branch and shortcut, with what surrounds it."""
        y = self._drop_branch(self._attend("post", y, train), train)
        y = y + self._attend("identity", shortcut, train)
        if not self.pre_activation:
            y = self._act(y)
        return self._attend("after_sum", y, train)


class Shortcut(nn.Module):
    """A convolution to the shape of the residual branch, see `ResidualBlock`; and a norm if `use_norm`."""

    filters: int
    stride: int
    kind: str
    use_norm: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Bring (N, H, W, I) to the shape of the residual branch."""
        stride = self.stride
        kernel_size = 3 if self.kind == "projection3x3" and stride > 1 else 1
        if self.kind == "avg_pool" and stride > 1:
            x = avg_pool(x, stride, stride, count_padding=False, ceil_mode=True)
            stride = 1
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = Conv(self.filters, kernel_size, stride=stride, name="conv", **types)
        return batch_norm(train, name="bn", **types)(x, conv) if self.use_norm else conv(x)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    def __post_init__(self) -> None:
        _refuse(self, *_WIDTHS, "stride_first")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', planes)."""
        y = self._attend("pre", x, train)
        if self._has_conv_slot():
            y = self._conv_slot(1, y, train, self.stride)
        else:
            y = self._branch_conv_norm(1, y, self.planes, 3, train, act=True, stride=self.stride)
        y = self._attend("mid", y, train)
        return self._end(2, y, self.planes, 3, x, train)


class BottleneckBlock(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 one may have groups (ResNeXt), its width may differ (wide)."""

    expansion: int = 4

    @property
    def _width(self) -> int:
        return self.planes * self.base_width // 64 * self.cardinality

    @property
    def _groups(self) -> int:
        return self._width // self.group_width if self.group_width else self.cardinality

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', expansion * planes)."""
        width = self._width
        first, second = (self.stride, 1) if self.stride_first else (1, self.stride)
        y = self._attend("pre", x, train)
        narrow = width // self.reduce_first
        y = self._branch_conv_norm(1, y, narrow, 1, train, act=True, stride=first)
        if self._has_conv_slot():
            y = self._conv_slot(2, y, train, second)
        else:
            wide = {"stride": second, "groups": self._groups}
            y = self._branch_conv_norm(2, y, width, 3, train, act=True, **wide)
        y = self._attend("mid", y, train)
        return self._end(3, y, self.filters, 1, x, train)


class PreActBasicBlock(ResidualBlock):
    """Norm and activation before each of two 3x3 convolutions; the sum is left as it is.

    There is no last norm: with `zero_init` the last convolution's kernel starts at zero.
    """

    pre_activation = True

    def __post_init__(self) -> None:
        _refuse(self, *_WIDTHS, "stride_first", "rectify_branch")
        refuse_conv_slot(self.slots, _WRONG_ORDER)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', planes)."""
        y = self._norm(1, self._attend("pre", x, train), train, act=True)
        shortcut = _pre_activated_shortcut(self, x, y, train)
        y = self._branch_conv(1, y, self.planes, 3, train, stride=self.stride)
        y = self._attend("mid", self._norm(2, y, train, act=True), train)
        y = self._branch_conv(2, y, self.planes, 3, train, **_silent(self))
        return self._join(self._attend("pre_norm", y, train), shortcut, train)


class PreActBottleneckBlock(ResidualBlock):
    """Norm and activation before each of a 1x1, a 3x3 and a 1x1 convolution.

    There is no last norm: with `zero_init` the last convolution's kernel starts at zero.
    """

    expansion: int = 4
    pre_activation = True

    def __post_init__(self) -> None:
        _refuse(self, *_WIDTHS, "stride_first", "rectify_branch")
        refuse_conv_slot(self.slots, _WRONG_ORDER)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', 4 planes)."""
        y = self._norm(1, self._attend("pre", x, train), train, act=True)
        shortcut = _pre_activated_shortcut(self, x, y, train)
        y = self._branch_conv(1, y, self.planes, 1, train)
        y = self._norm(2, y, train, act=True)
        y = self._branch_conv(2, y, self.planes, 3, train, stride=self.stride)
        y = self._norm(3, self._attend("pre_norm", y, train), train, act=True)
        y = self._attend("mid", y, train)
        y = self._branch_conv(3, y, self.filters, 1, train, **_silent(self))
        return self._join(y, shortcut, train)


def _pre_activated_shortcut(
    block: ResidualBlock, x: jax.Array, activated: jax.Array, train: bool
) -> jax.Array:
    """The input itself, or, where the shape changes, a projection of the activated input."""
    changes = block.stride > 1 or x.shape[-1] != block.filters
    return block._shortcut(activated if changes else x, train)


def _silent(block: Block) -> dict[str, Any]:
    return {"kernel_init": nn.initializers.zeros} if block.zero_init else {}


_WIDTHS = ("cardinality", "base_width", "group_width", "reduce_first", "expansion")


def _refuse(block: ResidualBlock, *unused: str) -> None:
    """Refuse values other than the default of fields that this kind of block does not look at."""
    for field in unused:
        default, given = getattr(type(block), field), getattr(block, field)
        if given != default:
            raise UsageError(
                f"{type(block).__name__} takes no {field} other than {default}, not {given};"
                " use the block 'bottleneck'"
            )


_WRONG_ORDER = "which pre-activation networks do not have in that order"

BLOCKS: dict[str, type[ResidualBlock]] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "preact_basic": PreActBasicBlock,
    "preact_bottleneck": PreActBottleneckBlock,
}
