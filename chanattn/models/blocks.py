"""Residual blocks with attention slots.

Four blocks: basic and bottleneck (He et al., CVPR 2016, arXiv:1512.03385), and their pre-activation forms
(He et al., ECCV 2016, arXiv:1603.05027). The stride is on the 3x3 convolution, as in torchvision and timm.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import Conv, avg_pool, batch_norm
from chanattn.models.slots import Slots

SHORTCUTS = ("zero_pad", "projection", "avg_pool")


class Block(nn.Module):
    """What all blocks share: their arguments, slots, shortcut and stochastic depth.

    Attributes:
        planes: Width of the block before expansion and grouping.
        stride: Of the block.
        stage: Number of the stage, from 1.
        slots: Attention mechanisms.
        shortcut: What the shortcut does where the shape changes: "zero_pad" (strided, channels padded with
            zeros: option A), "projection" (strided 1x1 convolution: option B), "avg_pool" (2x2 average pool,
            then a 1x1 convolution: ResNet-D).
        cardinality: Groups of the bottleneck's 3x3 convolution.
        base_width: Width of a group at 64 planes.
        drop_rate: Probability that the residual branch of a picture is dropped in training.
        zero_init: Start with a silent residual branch.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    planes: int
    stride: int = 1
    stage: int = 1
    slots: Slots = Slots()
    shortcut: str = "projection"
    cardinality: int = 1
    base_width: int = 64
    drop_rate: float = 0.0
    zero_init: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    expansion = 1
    pre_activation = False

    @property
    def filters(self) -> int:
        """Output channels."""
        return self.planes * self.expansion

    def _conv(
        self, name: str, x: jax.Array, features: int, kernel_size: int, **more: Any
    ) -> jax.Array:
        conv = Conv(
            features,
            kernel_size,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
            **more,
        )
        return conv(x)

    def _branch_conv(
        self, number: int, x: jax.Array, features: int, kernel_size: int, train: bool, **more: Any
    ) -> jax.Array:
        """Convolution `number` of the residual branch, with the `pre_conv` attention before it."""
        x = self._attend("pre_conv", x, train, name=f"attention{number}")
        return self._conv(f"conv{number}", x, features, kernel_size, **more)

    def _norm(self, number: int, x: jax.Array, train: bool, *, last: bool = False) -> jax.Array:
        """Norm `number`; the last one of a branch may start at zero."""
        silent = last and self.zero_init
        norm = batch_norm(
            train,
            name=f"bn{number}",
            scale_init=nn.initializers.zeros if silent else nn.initializers.ones,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        return norm(x)

    def _attend(
        self, placement: str, x: jax.Array, train: bool, name: str = "attention"
    ) -> jax.Array:
        """Apply the gate mechanism if it sits here."""
        gate = self.slots.gate
        if not gate.at(placement, self.stage):
            return x
        return gate.build(name, param_dtype=self.param_dtype)(x, train=train)

    def _has_conv_slot(self) -> bool:
        return self.slots.conv.at("conv", self.stage)

    def _conv_slot(self, number: int, x: jax.Array, filters: int, train: bool) -> jax.Array:
        """The conv mechanism in place of convolution `number`, its norm and activation."""
        module = self.slots.conv.build(
            f"conv{number}",
            filters=filters,
            stride=self.stride,
            groups=self.cardinality,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        return module(x, train=train)

    def _drop_branch(self, y: jax.Array, train: bool) -> jax.Array:
        """Stochastic depth (Huang et al., ECCV 2016): whole branches, picture by picture, mean kept."""
        if not train or self.drop_rate == 0:
            return y
        keep = 1 - self.drop_rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, (y.shape[0], 1, 1, 1))
        return y * mask.astype(y.dtype) / keep

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
            average=self.shortcut == "avg_pool",
            use_norm=not self.pre_activation,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="shortcut",
        )(x, train)

    def _join(self, y: jax.Array, shortcut: jax.Array, train: bool) -> jax.Array:
        """Sum of branch and shortcut, with what surrounds it."""
        y = self._drop_branch(self._attend("post", y, train), train)
        y = y + self._attend("identity", shortcut, train)
        if not self.pre_activation:
            y = nn.relu(y)
        return self._attend("after_sum", y, train)


class Shortcut(nn.Module):
    """1x1 convolution, after a 2x2 average pool instead of a stride if `average`, and norm if `use_norm`."""

    filters: int
    stride: int
    average: bool
    use_norm: bool
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Bring (N, H, W, I) to the shape of the residual branch."""
        stride = self.stride
        if self.average and stride > 1:
            x = avg_pool(x, stride, stride, count_padding=False, ceil_mode=True)
            stride = 1
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Conv(self.filters, kernel_size=1, stride=stride, name="conv", **types)(x)
        return batch_norm(train, name="bn", **types)(x) if self.use_norm else x


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    def __post_init__(self) -> None:
        _refuse_groups(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', planes)."""
        y = self._attend("pre", x, train)
        if self._has_conv_slot():
            y = self._conv_slot(1, y, self.planes, train)
        else:
            y = self._branch_conv(1, y, self.planes, 3, train, stride=self.stride)
            y = nn.relu(self._norm(1, y, train))
        y = self._attend("mid", y, train)
        y = self._branch_conv(2, y, self.planes, 3, train)
        y = self._norm(2, self._attend("pre_norm", y, train), train, last=True)
        return self._join(y, self._shortcut(x, train), train)


class BottleneckBlock(Block):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 one may have groups (ResNeXt), its width may differ (wide)."""

    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', 4 planes)."""
        width = self.planes * self.base_width // 64 * self.cardinality
        y = self._attend("pre", x, train)
        y = nn.relu(self._norm(1, self._branch_conv(1, y, width, 1, train), train))
        if self._has_conv_slot():
            y = self._conv_slot(2, y, width, train)
        else:
            y = self._branch_conv(
                2, y, width, 3, train, stride=self.stride, groups=self.cardinality
            )
            y = nn.relu(self._norm(2, self._attend("pre_norm", y, train), train))
        y = self._attend("mid", y, train)
        y = self._norm(3, self._branch_conv(3, y, self.filters, 1, train), train, last=True)
        return self._join(y, self._shortcut(x, train), train)


class PreActBasicBlock(Block):
    """Norm and activation before each of two 3x3 convolutions; the sum is left as it is.

    There is no last norm: with `zero_init` the last convolution's kernel starts at zero.
    """

    pre_activation = True

    def __post_init__(self) -> None:
        _refuse_groups(self)
        _refuse_conv_slot(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', planes)."""
        y = nn.relu(self._norm(1, self._attend("pre", x, train), train))
        shortcut = _pre_activated_shortcut(self, x, y, train)
        y = self._branch_conv(1, y, self.planes, 3, train, stride=self.stride)
        y = self._attend("mid", nn.relu(self._norm(2, y, train)), train)
        y = self._branch_conv(2, y, self.planes, 3, train, **_silent(self))
        return self._join(self._attend("pre_norm", y, train), shortcut, train)


class PreActBottleneckBlock(Block):
    """Norm and activation before each of a 1x1, a 3x3 and a 1x1 convolution.

    There is no last norm: with `zero_init` the last convolution's kernel starts at zero.
    """

    expansion = 4
    pre_activation = True

    def __post_init__(self) -> None:
        _refuse_groups(self)
        _refuse_conv_slot(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', 4 planes)."""
        y = nn.relu(self._norm(1, self._attend("pre", x, train), train))
        shortcut = _pre_activated_shortcut(self, x, y, train)
        y = self._branch_conv(1, y, self.planes, 1, train)
        y = nn.relu(self._norm(2, y, train))
        y = self._branch_conv(2, y, self.planes, 3, train, stride=self.stride)
        y = nn.relu(self._norm(3, self._attend("pre_norm", y, train), train))
        y = self._attend("mid", y, train)
        y = self._branch_conv(3, y, self.filters, 1, train, **_silent(self))
        return self._join(y, shortcut, train)


def _pre_activated_shortcut(
    block: Block, x: jax.Array, activated: jax.Array, train: bool
) -> jax.Array:
    """The input itself, or, where the shape changes, a projection of the activated input."""
    changes = block.stride > 1 or x.shape[-1] != block.filters
    return block._shortcut(activated if changes else x, train)


def _silent(block: Block) -> dict[str, Any]:
    return {"kernel_init": nn.initializers.zeros} if block.zero_init else {}


def _refuse_groups(block: Block) -> None:
    if block.cardinality != 1 or block.base_width != 64:
        raise UsageError(
            f"{type(block).__name__} has no grouped or wider convolution; use a bottleneck"
        )


def _refuse_conv_slot(block: Block) -> None:
    if block.slots.conv.name != "identity":
        raise UsageError(
            f"attention {block.slots.conv.name!r} replaces a convolution with its norm and activation, which"
            " pre-activation networks do not have in that order; use another architecture"
        )


BLOCKS: dict[str, type[Block]] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "preact_basic": PreActBasicBlock,
    "preact_bottleneck": PreActBottleneckBlock,
}
