"""Residual blocks of ResNets with attention slots.

Four blocks: basic and bottleneck (He et al., CVPR 2016, arXiv:1512.03385), and their pre-activation forms
(He et al., ECCV 2016, arXiv:1603.05027). The stride is on the 3x3 convolution, as in torchvision and timm,
unless `stride_first`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, avg_pool, blur_pool
from chanattn.models.block import Block, refuse_conv_slot

SHORTCUTS = ("zero_pad", "projection", "projection3x3", "avg_pool", "absent")
ANTI_ALIAS: dict[str, Callable[[jax.Array, int], jax.Array]] = {
    "avg": lambda x, stride: avg_pool(x, stride, stride, count_padding=False, ceil_mode=True),
    "blur": blur_pool,
    "blur_zeros": partial(blur_pool, border="constant"),
}


_WIDTHS = (
    *("cardinality", "base_width", "group_width", "width_of_input", "reduce_first", "expansion"),
)


class ResidualBlock(Block):
    """What the blocks of ResNets share: their arguments, the shortcut and the sum.

    Attributes:
        planes: Width of the block before expansion and grouping.
        stride: Of the block.
        expansion: Output channels over planes.
        shortcut: What the shortcut does where the shape changes: "zero_pad" (strided, channels padded with
            zeros: option A), "projection" (strided 1x1 convolution: option B), "projection3x3" (a 3x3 one
            where it strides: SENet-154), "avg_pool" (2x2 average pool, then a 1x1 convolution: ResNet-D),
            "absent" (there is none: RegNetZ).
        activated_shortcut: Of pre-activated blocks: the input's activation is the shortcut where the shape
            does not change, too (RegNetV).
        cardinality: Groups of the bottleneck's 3x3 convolution.
        base_width: Width of a group at 64 planes.
        group_width: Width of a group whatever the planes; 0: `cardinality` says it.
        width_of_input: The bottleneck's width is that of the input, not of the planes, times `base_width`
            / 64.
        reduce_first: The bottleneck's first convolution is narrower than the second by this factor.
        stride_first: The bottleneck's stride is on the first convolution (Caffe).
        rectify_branch: The basic block's branch ends in an activation, before the attention (Caffe's
            SE-ResNet-18 and 34).
        linear_sum: No activation follows the sum (RegNetZ).
        anti_alias: In blocks that halve the map the convolution of the stride has none, and a pool behind
            its activation halves the map: "avg" (the mean of 2x2), "blur" (Zhang, ICML 2019,
            arXiv:1904.11486), "blur_zeros" (with zeros around the map); "": the convolution does. Odd sizes
            are rounded up.
    """

    planes: int
    stride: int = 1
    expansion: int = 1
    shortcut: str = "projection"
    cardinality: int = 1
    base_width: int = 64
    group_width: int = 0
    width_of_input: bool = False
    reduce_first: int = 1
    stride_first: bool = False
    rectify_branch: bool = False
    linear_sum: bool = False
    activated_shortcut: bool = False
    anti_alias: str = ""

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

    @nn.nowrap
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

    @nn.nowrap
    def check_conv_slot(self) -> None:
        """Refuses a conv mechanism that the groups of this block do not fit, by tracing it.

        Raises:
            UsageError: As the mechanism, when it is called.
        """
        if self._has_conv_slot():
            mechanism = self._conv_mechanism(name=None, parent=None)
            x = jax.ShapeDtypeStruct((1, 8, 8, self._width), jnp.float32)
            jax.eval_shape(mechanism.init, jax.random.key(0), x)

    def conv_slot(self, number: int, x: jax.Array, stride: int) -> jax.Array:
        """The conv mechanism in place of convolution `number`, its norm and activation.

        It cannot be looked into: attention whose place is between these three sits behind it.
        """
        x = self.attend_at_each("pre_conv", x, number)
        y = self._conv_mechanism(name=f"conv{number}", stride=stride)(x, train=self.train)
        for placement in ("before_norms", "after_norms"):
            y = self.attend_at_each(placement, y, number)
        return y

    @property
    def conv_stride(self) -> int:
        """Stride of the convolution that has the block's; 1 where a pool halves the map."""
        return 1 if self.anti_alias else self.stride

    def pool(self, y: jax.Array) -> jax.Array:
        """The pool that takes over the stride, if there is one."""
        if self.stride == self.conv_stride:
            return y
        return ANTI_ALIAS[self.anti_alias](y, self.stride)

    def has_shortcut(self, x: jax.Array) -> bool:
        """Whether there is a sum."""
        return self.shortcut != "absent" or not self._changes_shape(x)

    def shortcut_of(self, x: jax.Array) -> jax.Array | None:
        """The input itself, or what `shortcut` makes of it where the shape changes."""
        if not self._changes_shape(x):
            return x
        if self.shortcut == "absent":
            return None
        if self.shortcut == "zero_pad":
            extra = self.filters - x.shape[-1]
            x = x[:, :: self.stride, :: self.stride]
            return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, extra)))
        return Shortcut(
            self.filters,
            self.stride,
            self.shortcut,
            use_norm=not self.pre_activation,
            train=self.train,
            name="shortcut",
            **self.types(),
        )(x)

    def _changes_shape(self, x: jax.Array) -> bool:
        return self.stride > 1 or x.shape[-1] != self.filters

    def join(self, y: jax.Array, shortcut: jax.Array | None, state: Any) -> tuple[jax.Array, Any]:
        """Sum of branch and shortcut, with what surrounds it."""
        y, state = self.attend("post", y, state)
        linear = self.pre_activation or self.linear_sum
        if shortcut is None:
            y = y if linear else self.act(y)
        else:
            y = self.drop_branch(y)
            shortcut, state = self.attend("identity", shortcut, state)
            y = y + shortcut if linear else self.add_act(y, shortcut)
        return self.attend("after_sum", y, state)

    def last_norm(self, number: int, y: jax.Array, x: jax.Array) -> jax.Array:
        """The norm at the end of the branch of a block with the input x."""
        silent = not self.rectify_branch and self.has_shortcut(x)
        return self.norm(number, y, act=self.rectify_branch, silent=silent)


class Shortcut(nn.Module):
    """A convolution to the shape of the residual branch, see `ResidualBlock`; and a norm if `use_norm`."""

    filters: int
    stride: int
    kind: str
    use_norm: bool
    train: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Bring (N, H, W, I) to the shape of the residual branch."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        stride = self.stride
        kernel_size = 3 if self.kind == "projection3x3" and stride > 1 else 1
        if self.kind == "avg_pool" and stride > 1:
            x = avg_pool(x, stride, stride, count_padding=False, ceil_mode=True)
            stride = 1
        x = Conv(self.filters, kernel_size, stride=stride, name="conv", **types)(x)
        return BatchNorm(self.train, name="bn", **types)(x) if self.use_norm else x


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    def __post_init__(self) -> None:
        _refuse(self, *_WIDTHS, "stride_first", "activated_shortcut")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', planes), and the state, see `Block`."""
        y, state = self.attend("pre", x, state)
        if self._has_conv_slot():
            y = self.conv_slot(1, y, self.conv_stride)
        else:
            y = self.conv(1, y, self.planes, 3, stride=self.conv_stride)
            y = self.norm(1, y, act=True)
        y, state = self.attend("mid", self.pool(y), state)
        y = self.conv(2, y, self.planes, 3)
        y, state = self.attend("pre_norm", y, state)
        y = self.last_norm(2, y, x)
        return self.join(y, self.shortcut_of(x), state)


class BottleneckBlock(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 one may have groups (ResNeXt), its width may differ (wide)."""

    expansion: int = 4

    @property
    def _width(self) -> int:
        width = self.block_input if self.width_of_input and self.block_input else self.planes
        return width * self.base_width // 64 * self.cardinality

    @property
    def _groups(self) -> int:
        return max(self._width // self.group_width, 1) if self.group_width else self.cardinality

    def __post_init__(self) -> None:
        _refuse(self, "activated_shortcut")
        if self.stride_first and self.anti_alias:
            raise UsageError(
                f"anti_alias={self.anti_alias!r} stands behind the 3x3 convolution, and stride_first=True"
                " puts the stride on another one; leave one of them out"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', expansion * planes), and the state, see `Block`."""
        width = self._width
        first, second = (self.stride, 1) if self.stride_first else (1, self.conv_stride)
        y, state = self.attend("pre", x, state)
        y = self.conv(1, y, width // self.reduce_first, 1, stride=first)
        y = self.norm(1, y, act=True)
        if self._has_conv_slot():
            y = self.conv_slot(2, y, second)
            y, state = self.attend("pre_norm", y, state)
        else:
            y = self.conv(2, y, width, 3, stride=second, groups=self._groups)
            y, state = self.attend("pre_norm", y, state)
            y = self.norm(2, y, act=True)
        y, state = self.attend("mid", self.pool(y), state)
        y = self.conv(3, y, self.filters, 1)
        y = self.last_norm(3, y, x)
        return self.join(y, self.shortcut_of(x), state)


class PreActBlock(ResidualBlock):
    """Norm and activation before each convolution; the sum is left as it is.

    The input itself is the shortcut, or, where the shape changes, a projection of the activated input. There
    is no last norm: with `zero_init` the last convolution's kernel starts at zero.
    """

    pre_activation = True
    unused: ClassVar[tuple[str, ...]] = _WIDTHS

    def __post_init__(self) -> None:
        _refuse(self, *self.unused, "stride_first", "rectify_branch", "anti_alias", "linear_sum")
        refuse_conv_slot(self.slots, "which pre-activation networks do not have in that order")
        super().__post_init__()

    def first(self, x: jax.Array, state: Any) -> tuple[jax.Array, jax.Array | None, Any]:
        """What the branch begins with, and the shortcut."""
        y, state = self.attend("pre", x, state)
        y = self.norm(1, y, act=True)
        activated = self.activated_shortcut or self._changes_shape(x)
        return y, self.shortcut_of(y if activated else x), state

    def _last_init(self, x: jax.Array) -> dict[str, Any]:
        silent = self.zero_init and self.has_shortcut(x)
        return {"kernel_init": nn.initializers.zeros} if silent else {}


class PreActBasicBlock(PreActBlock):
    """Two 3x3 convolutions, pre-activated."""

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', planes), and the state, see `Block`."""
        y, shortcut, state = self.first(x, state)
        y = self.conv(1, y, self.planes, 3, stride=self.stride)
        y = self.norm(2, y, act=True)
        y, state = self.attend("mid", y, state)
        y = self.conv(2, y, self.planes, 3, **self._last_init(x))
        y, state = self.attend("pre_norm", y, state)
        return self.join(y, shortcut, state)


class PreActBottleneckBlock(PreActBlock):
    """A 1x1, a 3x3 and a 1x1 convolution, pre-activated."""

    expansion: int = 4
    unused = tuple(field for field in _WIDTHS if field not in ("group_width", "expansion"))

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', expansion * planes), and the state, see `Block`."""
        y, shortcut, state = self.first(x, state)
        y = self.conv(1, y, self.planes, 1)
        y = self.norm(2, y, act=True)
        groups = max(self.planes // self.group_width, 1) if self.group_width else 1
        y = self.conv(2, y, self.planes, 3, stride=self.stride, groups=groups)
        y, state = self.attend("pre_norm", y, state)
        y = self.norm(3, y, act=True)
        y, state = self.attend("mid", y, state)
        y = self.conv(3, y, self.filters, 1, **self._last_init(x))
        return self.join(y, shortcut, state)


def _refuse(block: ResidualBlock, *unused: str) -> None:
    """Refuse values other than the default of fields that this kind of block does not look at."""
    for field in unused:
        default, given = getattr(type(block), field), getattr(block, field)
        if given != default:
            raise UsageError(
                f"{type(block).__name__} takes no {field} other than {default!r}, not {given!r};"
                " use the block 'bottleneck'"
            )


BLOCKS: dict[str, type[ResidualBlock]] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "preact_basic": PreActBasicBlock,
    "preact_bottleneck": PreActBottleneckBlock,
}
