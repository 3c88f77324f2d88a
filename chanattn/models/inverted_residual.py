"""Networks of inverted residual blocks: MobileNet, MNASNet, EfficientNet, MixNet, GhostNet, ReXNet, ...

Blocks are those of `mobile_blocks`, `ghost_blocks` and `rex_block`; which network has which rows, stands in
`mobile`, `mobile_searched`, `ghost` and `rexnet`, all of `chanattn.models`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, activation, dense
from chanattn.layers.conv import PADDINGS
from chanattn.layers.norm import EPSILON
from chanattn.models.block import refuse_conv_slot
from chanattn.models.blocks import ANTI_ALIAS
from chanattn.models.ghost_blocks import GhostBlock, RepGhostBlock
from chanattn.models.mobile_blocks import ConvBlock, FusedBlock, InvertedResidualBlock, MobileBlock
from chanattn.models.network import Network, Outputs, check_pictures
from chanattn.models.rex_block import RexBlock
from chanattn.models.slots import Slots

#: The kinds of a row, with the arguments that set them apart.
BLOCKS: dict[str, tuple[type[MobileBlock], dict[str, Any]]] = {
    "inverted": (InvertedResidualBlock, {}),
    "separable": (InvertedResidualBlock, {"last_act": True}),
    "fused": (FusedBlock, {}),
    "conv": (ConvBlock, {}),
    "ghost": (GhostBlock, {}),
    "ghost_v2": (GhostBlock, {"spread": True}),
    "repghost": (RepGhostBlock, {}),
    "rexnet": (RexBlock, {}),
}


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
        width: Of the branch; 0: the expansion says it.
        pointwise: See `MobileBlock`.
        squeeze: Factor of the width of the input that mechanisms are told (`reduce_from="block_input"`).
    """

    kind: str
    expansion: float
    kernel_size: int | tuple[int, ...]
    stride: int
    filters: int
    blocks: int
    activation: str = ""
    attention: bool = True
    skip: bool = True
    width: int = 0
    pointwise: tuple[int, int] = (1, 1)
    squeeze: float = 1.0


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
        """Whether there is a shortcut."""
        if BLOCKS[self.row.kind][0].always_shortcut:
            return True
        if self.row.kind == "rexnet":
            return self.stride == 1 and self.inputs <= self.row.filters
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

    @nn.nowrap
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

    @nn.nowrap
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

    @nn.nowrap
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
        arguments["block_input"] = int(row.squeeze * arguments["block_input"])
        return block(
            filters=row.filters,
            stride=place.stride,
            expansion=row.expansion,
            kernel_size=row.kernel_size,
            skip=row.skip,
            fixed_width=row.width,
            pointwise=row.pointwise,
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
