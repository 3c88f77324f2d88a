"""VoVNet: one-shot aggregation of the outputs of a chain of convolutions.

Lee, Hwang, Lee, Bae, Park. An Energy and GPU-Computation Efficient Backbone Network. CVPRW 2019.
arXiv:1904.09730. Version 2 (identity shortcuts; effective squeeze-and-excitation): Lee, Park. CenterMask.
CVPR 2020. arXiv:1911.06667.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.models.block import Block, refuse_conv_slot
from chanattn.models.network import Network, Outputs
from chanattn.models.slots import Slots
from chanattn.models.stem import ceil_max_pool


class OSALayers(Block, kw_only=True):  # type: ignore[call-arg]
    """3x3 convolutions with norm and activation.

    Attributes:
        depthwise: Each one is a depthwise and a 1x1 convolution, which count as one for `pre_conv`.
    """

    depthwise: bool = False

    def _layer(
        self, number: int, x: jax.Array, features: int, train: bool, stride: int = 1
    ) -> jax.Array:
        x = self._attend("pre_conv", x, train, name=f"attention{number}")
        size = 3
        if self.depthwise:
            x = self._conv(
                f"depthwise{number}", x, x.shape[-1], 3, groups=x.shape[-1], stride=stride
            )
            size, stride = 1, 1
        return self._conv_norm(number, x, features, size, train, act=True, stride=stride)


class OSAStem(OSALayers):
    """Three 3x3 convolutions, the first and the last of stride 2; the first is never depthwise."""

    widths: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """(N, H, W, 3) -> the second map (stride 2) and the third (stride 4)."""
        first, second, third = self.widths
        x = self._conv_norm(1, x, first, 3, train, act=True, stride=2)
        x = self._layer(2, x, second, train)
        return x, self._layer(3, x, third, train, stride=2)


class OSABlock(OSALayers):
    """A chain of 3x3 convolutions; a 1x1 convolution of its input and all their outputs.

    The last norm is followed by an activation, which would never leave zero: `zero_init` has no effect.

    Attributes:
        filters: Output channels.
        width: Of the convolutions.
        layers: How many there are.
        residual: Whether the block's input is added.
    """

    filters: int
    width: int
    layers: int = 5
    residual: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H, W, filters)."""
        y = self._attend("pre", x, train)
        maps = [y]
        if self.depthwise and y.shape[-1] != self.width:
            y = self._branch_conv_norm(0, y, self.width, 1, train, act=True)
        for number in range(1, self.layers + 1):
            y = self._layer(number, y, self.width, train)
            if number == 1:
                y = self._attend("mid", y, train)
            maps.append(y)
        last = self.layers + 1
        y = jnp.concatenate(maps, axis=-1)
        y = self._branch_conv_norm(last, y, self.filters, 1, train, act=True)
        y = self._attend("post", y, train)
        if self.residual:
            y = self._drop_branch(y, train) + self._attend("identity", x, train)
        return self._attend("after_sum", y, train)


class VoVNet(Network):
    """Stem, stages of OSA blocks with a max pool before all but the first, global mean, classifier.

    Attention sits in the last block of a stage only, as in the authors' code and timm.

    Attributes:
        layers: Blocks a stage.
        widths: Of the 3x3 convolutions, a stage.
        filters: Output channels, a stage.
        stem_widths: Of the three convolutions of the stem.
        block_layers: 3x3 convolutions a block.
        depthwise: They are depthwise, with a 1x1 convolution each.
        residual: All blocks of a stage but the first add their input (version 2).
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    filters: tuple[int, ...]
    stem_widths: tuple[int, int, int] = (64, 64, 128)
    block_layers: int = 5
    depthwise: bool = False
    residual: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_conv_slot(self.slots, "of which an OSA block has many")
        if self.stochastic_depth and not any(
            map(self._has_shortcuts, range(1, len(self.layers) + 1))
        ):
            raise UsageError(
                f"stochastic_depth={self.stochastic_depth} drops branches beside a shortcut, and no block of"
                " this VoVNet has one; set it to 0"
            )

    def _has_shortcuts(self, stage: int) -> bool:
        return self.residual and self.layers[stage - 1] > 1

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        return self.layers

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        return self._strides(2, 4)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> Outputs:
        """(N, H, W, 3) -> logits (N, num_classes) and the endpoints, see `Network`.

        In training, stochastic depth and dropout need the `dropout` random stream.
        """
        stem = OSAStem(
            widths=self.stem_widths,
            depthwise=self.depthwise,
            activation=self.activation,
            name="stem",
            **self._types(),
        )
        before, x = stem(x.astype(self.dtype), train)
        endpoints = {"stem": before}
        for stage, depth in enumerate(self.layers, 1):
            x = ceil_max_pool(x) if stage > 1 else x
            shared = self._stage_attention(stage)
            for number in range(1, depth + 1):
                slots = self.slots if number == depth else Slots()
                x = OSABlock(
                    filters=self.filters[stage - 1],
                    width=self.widths[stage - 1],
                    layers=self.block_layers,
                    depthwise=self.depthwise,
                    residual=self.residual and number > 1,
                    shared=shared,
                    **(self._of_every_block(stage, number, x) | {"slots": slots}),
                )(x, train)
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)
        return self._head(x, endpoints, train)
