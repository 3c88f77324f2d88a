"""Networks of inverted residual blocks: MobileNetV2 and EfficientNet.

Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018.
arXiv:1801.04381. Tan, Le. EfficientNet. ICML 2019. arXiv:1905.11946, which has squeeze-and-excitation at the
placement "mid", a quarter as wide as the block's input.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv
from chanattn.models.block import Block, refuse_conv_slot
from chanattn.models.network import Network, Outputs


class InvertedResidualBlock(Block):
    """1x1 expansion, depthwise convolution, linear 1x1 projection.

    The input is added where the shape allows it, and there alone `zero_init` acts.

    Attributes:
        filters: Output channels.
        stride: Of the depthwise convolution.
        expansion: Its width over the input's; 1: there is no expansion.
        kernel_size: Of the depthwise convolution.
    """

    filters: int
    stride: int = 1
    expansion: int = 6
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = x.shape[-1] * self.expansion
        residual = self.stride == 1 and x.shape[-1] == self.filters
        y, state = self.attend("pre", x, state)
        if self.expansion > 1:
            y = self.conv(1, y, width, 1)
            y = self.norm(1, y, act=True)
        y = self.conv(2, y, width, self.kernel_size, stride=self.stride, groups=width)
        y, state = self.attend("pre_norm", y, state)
        y = self.norm(2, y, act=True)
        y, state = self.attend("mid", y, state)
        y = self.conv(3, y, self.filters, 1)
        y = self.norm(3, y, silent=residual)
        y, state = self.attend("post", y, state)
        if residual:
            x, state = self.attend("identity", x, state)
            y = self.drop_branch(y) + x
        return self.attend("after_sum", y, state)


class Row(NamedTuple):
    """Blocks of one shape, a line of the papers' tables."""

    expansion: int
    filters: int
    blocks: int
    kernel_size: int = 3


class InvertedResidualNet(Network):
    """3x3 convolution, stages of inverted residual blocks, 1x1 convolution, global mean, classifier.

    Attributes:
        rows: The rows of every stage; all stages but the first halve the map in their first block.
        stem_width: Of the first convolution.
    """

    rows: tuple[tuple[Row, ...], ...]
    stem_width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_conv_slot(self.slots, "and those of an inverted residual are depthwise")
        if self.slots.gate.shared:
            raise UsageError(
                f"attention {self.slots.gate.name!r} is shared by the blocks of a stage, whose widths differ"
                " in networks of inverted residuals; use another architecture"
            )

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        return tuple(sum(row.blocks for row in stage) for stage in self.rows)

    def _has_shortcuts(self, stage: int) -> bool:
        before = self.rows[stage - 2][-1].filters if stage > 1 else self.stem_width
        return stage == 1 and all(row.filters == before for row in self.rows[0])

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        return self._strides(2, 2)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        In training, stochastic depth and dropout need the `dropout` random stream.
        """
        pictures = x
        types = self._types()
        x = Conv(self.stem_width, stride=2, name="stem_conv", **types)(x)
        x = BatchNorm(train, name="stem_bn", act=self.activation, **types)(x)
        endpoints = {"stem": x}
        for stage, rows in enumerate(self.rows, 1):
            of_blocks = [row for row in rows for _ in range(row.blocks)]
            for number, row in enumerate(of_blocks, 1):
                x, _ = InvertedResidualBlock(
                    filters=row.filters,
                    stride=2 if stage > 1 and number == 1 else 1,
                    expansion=row.expansion,
                    kernel_size=row.kernel_size,
                    **self._of_every_block(stage, number, x, train),
                )(x)
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)
        return self._finish(x, endpoints, pictures, train, inputs)
