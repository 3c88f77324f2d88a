"""Networks of inverted residual blocks: MobileNet, MNASNet, EfficientNet, TinyNet, LCNet.

Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018.
arXiv:1801.04381. Those with squeeze-and-excitation have it at the placement "mid". Which network has which
rows, stands in `chanattn.models.mobile`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from chanattn.attention.widths import make_divisible
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, activation, dense
from chanattn.layers.conv import PADDINGS
from chanattn.layers.norm import EPSILON
from chanattn.models.block import Block, refuse_conv_slot
from chanattn.models.blocks import ANTI_ALIAS
from chanattn.models.network import Network, Outputs, check_pictures
from chanattn.models.slots import Slots


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
    """

    filters: int
    stride: int = 1
    expansion: float = 6
    kernel_size: int = 3
    skip: bool = True
    padding: str = "symmetric"
    epsilon: float = EPSILON
    anti_alias: str = ""

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

    def norm_types(self) -> dict[str, Any]:
        """Arguments of every norm."""
        return self.types() | {"epsilon": self.epsilon}

    def width(self, x: jax.Array) -> int:
        """Of the branch."""
        return expanded(x.shape[-1], self.expansion)

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

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = x.shape[-1]
        y, state = self.attend("pre", x, state)
        if self.expansion != 1:
            width = self.width(x)
            y = self.conv(1, y, width, 1)
            y = self.norm(1, y, act=True)
        y = self.conv(2, y, width, self.kernel_size, stride=self.conv_stride, groups=width)
        y, state = self.attend("pre_norm", y, state)
        y = self.pool(self.norm(2, y, act=True))
        y, state = self.attend("mid", y, state)
        y = self.conv(3, y, self.filters, 1)
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


#: The kinds of a row, with the arguments that set them apart.
BLOCKS: dict[str, tuple[type[MobileBlock], dict[str, Any]]] = {
    "inverted": (InvertedResidualBlock, {}),
    "separable": (InvertedResidualBlock, {"last_act": True}),
    "fused": (FusedBlock, {}),
    "conv": (ConvBlock, {}),
}


def expanded(channels: int, expansion: float) -> int:
    """Width of a branch."""
    return make_divisible(channels * expansion, 8, keep=0.9)


class Row(NamedTuple):
    """Blocks of one shape, a line of the papers' tables.

    Attributes:
        kind: A key of `BLOCKS`.
        expansion: Width of the branch over the input's.
        kernel_size: Of the convolution that is not 1x1.
        stride: Of the first block.
        filters: Output channels.
        blocks: How many there are.
        activation: Of these blocks; empty: the network's.
        attention: Whether the attention of the network sits here when no stages are named, as SE does in the
            network as it was published.
        skip: Whether the input is added where the shape allows it.
    """

    kind: str
    expansion: float
    kernel_size: int
    stride: int
    filters: int
    blocks: int
    activation: str = ""
    attention: bool = True
    skip: bool = True


class Place(NamedTuple):
    """A block and where it stands: in our names by stage and number, in PyTorch's by group and position."""

    row: Row
    inputs: int
    stride: int
    stage: int
    number: int
    group: int
    position: int

    @property
    def has_shortcut(self) -> bool:
        """Whether the input is added."""
        return self.row.skip and self.stride == 1 and self.inputs == self.row.filters


class InvertedResidualNet(Network):
    """Strided 3x3 convolution, blocks, 1x1 convolution if any, global mean, dense layer if any, classifier.

    A stage begins with the first block and with every one that halves the map.

    Attention sits in the blocks that were published with it, in MobileNetV3 those where the paper has SE, or,
    where there are none such, in all. Once its `stages` are named, it is in all their blocks.

    Attributes:
        groups: The rows, each group with those that the published code counts as one (PyTorch's `blocks.N`).
        stem_width: Of the first convolution.
        pooled_features: Width of a dense layer with activation on the global mean (MobileNetV3); 0: none.
        pooled_bias: Whether it has a bias.
        padding: Of all convolutions, see `layers.Conv`.
        epsilon: Of all norms.
        anti_alias: A key of `blocks.ANTI_ALIAS`: pools that halve the map in place of the blocks' strides.
    """

    groups: tuple[tuple[Row, ...], ...]
    stem_width: int = 32
    pooled_features: int = 0
    pooled_bias: bool = True
    padding: str = "symmetric"
    epsilon: float = EPSILON
    anti_alias: str = ""

    def __post_init__(self) -> None:
        self._check_rows()
        super().__post_init__()
        refuse_conv_slot(self.slots, "and those of an inverted residual are depthwise")
        if self.slots.gate.shared:
            raise UsageError(
                f"attention {self.slots.gate.name!r} is shared by the blocks of a stage, whose widths differ"
                " in networks of inverted residuals; use another architecture"
            )
        if self.stochastic_depth and not any(place.has_shortcut for place in self.places()):
            raise UsageError(
                f"stochastic_depth={self.stochastic_depth} drops branches beside a shortcut, and no block of"
                " this network has one; set it to 0"
            )

    def _check_rows(self) -> None:
        rows = [row for group in self.groups for row in group]
        unknown = next((row.kind for row in rows if row.kind not in BLOCKS), None)
        if unknown is not None:
            raise UsageError(f"unknown kind of row {unknown!r}; valid: {', '.join(BLOCKS)}")
        if not any(row.attention for row in rows):
            raise UsageError("attention=False in all rows leaves no place for any; keep it in some")
        if self.padding not in PADDINGS:
            raise UsageError(f"unknown padding {self.padding!r}; valid: {', '.join(PADDINGS)}")
        if self.anti_alias and self.anti_alias not in ANTI_ALIAS:
            raise UsageError(
                f"unknown anti_alias {self.anti_alias!r}; valid: {', '.join(ANTI_ALIAS)}, or empty"
            )

    def places(self) -> Iterator[Place]:
        """All blocks, in order."""
        stage, number, inputs = 1, 0, self.stem_width
        for group, rows in enumerate(self.groups):
            of_group = [(row, i == 0) for row in rows for i in range(row.blocks)]
            for position, (row, is_first) in enumerate(of_group):
                stride = row.stride if is_first else 1
                if stride > 1 and number:
                    stage, number = stage + 1, 0
                number += 1
                yield Place(row, inputs, stride, stage, number, group, position)
                inputs = row.filters

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        ends = {place.stage: place.number for place in self.places()}
        return tuple(ends.values())

    def attends(self, place: Place) -> bool:
        """Whether a block is one of those that attention inside of blocks sits in."""
        stages = self.slots.gate.stages
        return place.stage in stages if stages else place.row.attention

    def _has_shortcuts(self, stage: int) -> bool:
        return all(
            place.has_shortcut
            for place in self.places()
            if place.stage == stage and self.attends(place)
        )

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        return self._strides(2, 2 * self.groups[0][0].stride)

    def _norm_types(self) -> dict[str, Any]:
        return self._types() | {"epsilon": self.epsilon}

    def _pool(self, x: jax.Array) -> jax.Array:
        pooled = super()._pool(x)
        if not self.pooled_features:
            return pooled
        layer = dense(
            self.pooled_features,
            name="pooled_dense",
            use_bias=self.pooled_bias,
            param_dtype=self.param_dtype,
        )
        return activation(self.activation)(layer(pooled))

    def _block(self, place: Place, x: jax.Array, train: bool) -> MobileBlock:
        row = place.row
        block, of_kind = BLOCKS[row.kind]
        arguments = self._of_every_block(place.stage, place.number, x, train)
        if row.activation:
            arguments["activation"] = row.activation
        if not self.attends(place):
            arguments["slots"] = Slots()
        return block(
            filters=row.filters,
            stride=place.stride,
            expansion=row.expansion,
            kernel_size=row.kernel_size,
            skip=row.skip,
            padding=self.padding,
            epsilon=self.epsilon,
            anti_alias=self.anti_alias,
            **of_kind,
            **arguments,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        In training, stochastic depth and dropout need the `dropout` random stream.

        Raises:
            UsageError: The pictures have not four axes.
        """
        check_pictures(x)
        pictures = x
        types = self._types()
        x = Conv(self.stem_width, stride=2, padding=self.padding, name="stem_conv", **types)(x)
        x = BatchNorm(train, name="stem_bn", act=self.activation, **self._norm_types())(x)
        endpoints = {"stem": x}
        depths = self.depths
        for place in self.places():
            x, _ = self._block(place, x, train)(x)
            if place.number == depths[place.stage - 1]:
                x = endpoints[f"stage{place.stage}"] = self._end_stage(x, place.stage, train)
        return self._finish(x, endpoints, pictures, train, inputs)
