"""VoVNet: one-shot aggregation of the outputs of a chain of convolutions.

Lee, Hwang, Lee, Bae, Park. An Energy and GPU-Computation Efficient Backbone Network. CVPRW 2019.
arXiv:1904.09730. Version 2 (identity shortcuts; effective squeeze-and-excitation): Lee, Park. CenterMask.
CVPR 2020. arXiv:1911.06667.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import Conv
from chanattn.models.block import Block, refuse_conv_slot
from chanattn.models.network import Network, Outputs, check_pictures
from chanattn.models.slots import Slots
from chanattn.models.stem import ceil_max_pool


class OSALayers(Block, kw_only=True):  # type: ignore[call-arg]
    """3x3 convolutions with norm and activation.

    Attributes:
        depthwise: Each one is a depthwise and a 1x1 convolution, which count as one for `pre_conv`.
    """

    depthwise: bool = False

    def layer(
        self, number: int, x: jax.Array, features: int, state: Any, stride: int = 1
    ) -> tuple[jax.Array, Any]:
        """Layer `number`; the `pre_norm` attention is in the second."""
        if self.depthwise:
            width = x.shape[-1]
            name = f"depthwise{number}"
            x = self.attend_at_each("pre_conv", x, number)
            x = Conv(width, 3, stride=stride, groups=width, name=name, **self.types())(x)
            x = Conv(features, 1, name=f"conv{number}", **self.types())(x)
        else:
            x = self.conv(number, x, features, 3, stride=stride)
        if number == 2:
            x, state = self.attend("pre_norm", x, state)
        return self.norm(number, x, act=True), state


class OSAStem(OSALayers):
    """Three 3x3 convolutions, the first and the last of stride 2; the first is never depthwise.

    There is no attention in it.
    """

    widths: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(N, H, W, 3) -> the second map (stride 2) and the third (stride 4)."""
        first, second, third = self.widths
        x = self.conv(1, x, first, 3, stride=2)
        x = self.norm(1, x, act=True)
        x, _ = self.layer(2, x, second, None)
        y, _ = self.layer(3, x, third, None, stride=2)
        return x, y


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
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H, W, filters), and the state, see `Block`."""
        y, state = self.attend("pre", x, state)
        maps = [y]
        if self.depthwise and y.shape[-1] != self.width:
            y = self.conv(0, y, self.width, 1)
            y = self.norm(0, y, act=True)
        for number in range(1, self.layers + 1):
            y, state = self.layer(number, y, self.width, state)
            if number == 1:
                y, state = self.attend("mid", y, state)
            maps.append(y)
        last = self.layers + 1
        y = self.conv(last, jnp.concatenate(maps, axis=-1), self.filters, 1)
        if last == 2:  # the second convolution, of a chain of one
            y, state = self.attend("pre_norm", y, state)
        y = self.norm(last, y, act=True)
        y, state = self.attend("post", y, state)
        if self.residual:
            x, state = self.attend("identity", x, state)
            y = self.drop_branch(y) + x
        return self.attend("after_sum", y, state)


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

    @nn.nowrap
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
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        In training, stochastic depth and dropout need the `dropout` random stream.

        Raises:
            UsageError: The pictures have not four axes.
        """
        check_pictures(x)
        pictures = x
        stem = OSAStem(
            widths=self.stem_widths,
            depthwise=self.depthwise,
            activation=self.activation,
            train=train,
            name="stem",
            **self._types(),
        )
        before, x = stem(x.astype(self.dtype))
        endpoints = {"stem": before}
        for stage, depth in enumerate(self.layers, 1):
            x = ceil_max_pool(x) if stage > 1 else x
            shared, state = self._shared_attention(stage), None
            for number in range(1, depth + 1):
                slots = self.slots if number == depth else Slots()
                x, state = OSABlock(
                    filters=self.filters[stage - 1],
                    width=self.widths[stage - 1],
                    layers=self.block_layers,
                    depthwise=self.depthwise,
                    residual=self.residual and number > 1,
                    shared=shared,
                    **(self._of_every_block(stage, number, x, train) | {"slots": slots}),
                )(x, state)
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)
        return self._finish(x, endpoints, pictures, train, inputs)
