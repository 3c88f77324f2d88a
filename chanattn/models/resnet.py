"""One ResNet for the whole family; named architectures are rows of `chanattn.models.architectures`."""

from typing import Any

import flax.linen as nn
import jax

from chanattn.errors import UsageError, did_you_mean
from chanattn.layers import BatchNorm, activation
from chanattn.models.block import refuse_shared_inside
from chanattn.models.blocks import ANTI_ALIAS, BLOCKS, SHORTCUTS
from chanattn.models.network import Network, Outputs, check_pictures
from chanattn.models.stem import POOLS, STEMS, Stem, StemPool

_KINDS = {
    "block": tuple(BLOCKS),
    "stem": STEMS,
    "stem_pool": (*POOLS, "strided", ""),
    "shortcut": SHORTCUTS,
    "anti_alias": ("", *ANTI_ALIAS),
}


class ResNet(Network):
    """Stem, stages of residual blocks, global mean, classifier.

    Attributes:
        block: Key of `BLOCKS`.
        layers: Blocks a stage.
        planes: Width a stage, before the block's expansion.
        stem: Kind of the stem, see `Stem`.
        stem_width: Its width.
        stem_pool: A kind of `StemPool`; "strided": the stem's last convolution halves the map instead; "":
            nothing does (CIFAR).
        expansion: Output channels of a block over its planes; 0: the block's own.
        shortcut: Kind of the shortcuts, see `ResidualBlock`, as are all that follow.
        cardinality: Groups of the 3x3 convolutions.
        base_width: Width of a group at 64 planes.
        group_width: Width of a group, in place of the two.
        width_of_input: The bottleneck is as wide as the input says, not the planes.
        reduce_first: Factor by which the first 1x1 convolution is narrower.
        stride_first: Stride on the first 1x1 convolution.
        rectify_branch: Activation at the end of a basic block's branch.
        linear_sum: No activation follows the sums. Before the head there is one, if no convolution is.
        activated_shortcut: Of pre-activated blocks: all shortcuts begin behind the activation.
        anti_alias: What halves the map in place of the strided 3x3 convolutions.
        first_stride: Stride of the first stage (RegNets: 2).
        final_norm: Of pre-activated blocks: a norm precedes the last activation.
    """

    block: str
    layers: tuple[int, ...]
    planes: tuple[int, ...]
    stem: str = "conv7"
    stem_width: int = 64
    stem_pool: str = "max"
    expansion: int = 0
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
    first_stride: int = 1
    final_norm: bool = True

    def __post_init__(self) -> None:
        for field, valid in _KINDS.items():
            if getattr(self, field) not in valid:
                raise UsageError(
                    f"unknown {field} {getattr(self, field)!r}; valid: {', '.join(map(repr, valid))}."
                    f"{did_you_mean(getattr(self, field), list(valid))}"
                )
        super().__post_init__()
        if self.width_of_input:
            refuse_shared_inside(self.slots)
        # A block refuses what it cannot hold when it is made; make one now, so that the message comes now.
        inputs = self._stem_features()
        for stage, planes in enumerate(self.planes, 1):
            filters = planes * (self.expansion or BLOCKS[self.block].expansion)
            for block_input in (inputs, filters) if self.width_of_input else (filters,):
                block = BLOCKS[self.block](
                    planes,
                    stage=stage,
                    slots=self.slots,
                    block_input=block_input,
                    parent=None,
                    **self._of_the_block(),
                )
                if self.group_width:
                    block.check_conv_slot()
            inputs = filters

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        return self.layers

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        stem = 1 if self.stem.startswith("cifar") else 2
        return self._strides(stem, stem * (2 if self.stem_pool else 1) * self.first_stride)

    @nn.nowrap
    def _has_shortcuts(self, stage: int) -> bool:
        if self.shortcut != "absent":
            return True
        filters = self.planes[0] * (self.expansion or BLOCKS[self.block].expansion)
        return (stage, self.first_stride, filters) == (1, 1, self._stem_features())

    @nn.nowrap
    def _stem_features(self) -> int:
        return self.stem_width * (2 if self.stem in ("deep", "tiered") else 1)

    @nn.nowrap
    def _of_the_block(self) -> dict[str, Any]:
        return {
            "shortcut": self.shortcut,
            "cardinality": self.cardinality,
            "base_width": self.base_width,
            "group_width": self.group_width,
            "width_of_input": self.width_of_input,
            "reduce_first": self.reduce_first,
            "stride_first": self.stride_first,
            "rectify_branch": self.rectify_branch,
            "linear_sum": self.linear_sum,
            "activated_shortcut": self.activated_shortcut,
            "anti_alias": self.anti_alias,
            **({"expansion": self.expansion} if self.expansion else {}),
        }

    def _final(self, x: jax.Array, train: bool) -> jax.Array:
        pre_activation = BLOCKS[self.block].pre_activation
        if pre_activation and self.final_norm:
            x = BatchNorm(train, name="bn", act=self.activation, **self._types())(x)
        elif pre_activation or (self.linear_sum and not self.num_features):
            x = activation(self.activation)(x)
        return super()._final(x, train)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        In training, stochastic depth and dropout need the `dropout` random stream.

        Raises:
            UsageError: The pictures have not four axes.
        """
        check_pictures(x)
        pictures = x
        types = {"activation": self.activation, "train": train, **self._types()}
        strided = self.stem_pool == "strided"
        stem = Stem(self.stem, self.stem_width, strided, name="stem", **types)
        before, x = stem(x.astype(self.dtype))
        endpoints = {"stem": before}
        if self.stem_pool and not strided:
            x = StemPool(self.stem_pool, name="stem_pool", **types)(x)

        block = BLOCKS[self.block]
        for stage, (depth, planes) in enumerate(zip(self.layers, self.planes, strict=True), 1):
            shared, state = self._shared_attention(stage), None
            strides = [2 if stage > 1 else self.first_stride] + [1] * (depth - 1)
            for number, stride in enumerate(strides, 1):
                x, state = block(
                    planes,
                    stride=stride,
                    shared=shared,
                    **self._of_the_block(),
                    **self._of_every_block(stage, number, x, train),
                )(x, state)
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)

        return self._finish(x, endpoints, pictures, train, inputs)
