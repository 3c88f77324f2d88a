"""ConvNeXt-V2: depthwise 7x7 convolutions and inverted bottlenecks with layer norms.

Woo, Debnath, Hu, Chen, Liu, Kweon, Xie. ConvNeXt V2: Co-designing and Scaling ConvNets with Masked
Autoencoders. CVPR 2023. arXiv:2301.00808. Blocks are those of Liu, Mao, Wu, Feichtenhofer, Darrell, Xie. A
ConvNet for the 2020s. CVPR 2022. arXiv:2201.03545, without their layer scale. The global response
normalisation of version 2 is the mechanism `grn` at the placement "mid", and any other can have its place.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.models.block import Block, refuse_conv_slot
from chanattn.models.network import Network, Outputs, check_pictures

EPSILON = 1e-6  # of the layer norms, as in the authors' code and timm


def layer_norm(name: str, **types: Any) -> nn.LayerNorm:
    """Over the channels of every position, in two passes: one loses digits where the mean is large."""
    return nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False, name=name, **types)


class ConvNeXtBlock(Block, kw_only=True):  # type: ignore[call-arg]
    """7x7 depthwise convolution, layer norm, 1x1 expansion, GELU, 1x1 projection; the input is added.

    The only norm is the first; with `zero_init` the projection starts at zero.
    """

    expansion: int = 4

    def norm_layer(self, number: int, **more: Any) -> nn.Module:
        """A layer norm; there is no activation behind it, and nothing to be silent."""
        del more
        return layer_norm(f"norm{number}", **self.types())

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, C) -> (N, H, W, C), and the state, see `Block`."""
        width = x.shape[-1]
        y, state = self.attend("pre", x, state)
        y = self.conv(1, y, width, 7, groups=width, use_bias=True)
        y, state = self.attend("pre_norm", y, state)
        y = self.norm(1, y)
        y = self.act(self.conv(2, y, self.expansion * width, 1, use_bias=True))
        y, state = self.attend("mid", y, state)
        last = {"kernel_init": nn.initializers.zeros} if self.zero_init else {}
        y = self.conv(3, y, width, 1, use_bias=True, **last)
        y, state = self.attend("post", y, state)
        x, state = self.attend("identity", x, state)
        return self.attend("after_sum", self.drop_branch(y) + x, state)


class ConvNeXt(Network, kw_only=True):  # type: ignore[call-arg]
    """Convolution of 4x4 patches, stages of blocks with one of 2x2 patches before all but the first.

    Attributes:
        layers: Blocks a stage.
        widths: Channels a stage.
        linear: PyTorch's code has linear layers for the 1x1 convolutions; only the shapes of its weights
            tell.
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    activation: str = "gelu_exact"
    linear: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_conv_slot(self.slots, "and those of ConvNeXt are depthwise")

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        return self.layers

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        return self._strides(4, 4)

    def _pool(self, x: jax.Array) -> jax.Array:
        pooled = super()._pool(x)
        types = {"dtype": jnp.float32, "param_dtype": self.param_dtype}
        return layer_norm("pooled_norm", **types)(pooled)

    def _patches(self, name: str, x: jax.Array, width: int, size: int) -> jax.Array:
        types = self._types()
        conv = nn.Conv(width, (size, size), (size, size), padding="VALID", name=name, **types)
        y: jax.Array = conv(x)
        return y

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        Rows and columns that fill no patch are left out. In training, stochastic depth and dropout need the
        `dropout` random stream.

        Raises:
            UsageError: The pictures have not four axes.
        """
        check_pictures(x)
        pictures, types = x, self._types()
        x = self._patches("stem_conv", x.astype(self.dtype), self.widths[0], 4)
        x = layer_norm("stem_norm", **types)(x)
        endpoints = {"stem": x}
        for stage, (depth, width) in enumerate(zip(self.layers, self.widths, strict=True), 1):
            if stage > 1:
                x = layer_norm(f"stage{stage}_norm", **types)(x)
                x = self._patches(f"stage{stage}_conv", x, width, 2)
            shared, state = self._shared_attention(stage), None
            for number in range(1, depth + 1):
                of_block = self._of_every_block(stage, number, x, train)
                x, state = ConvNeXtBlock(shared=shared, **of_block)(x, state)
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)
        return self._finish(x, endpoints, pictures, train, inputs)


def _row(widths: int, *layers: int, **more: Any) -> dict[str, Any]:
    """The width of the first stage, which every other one doubles."""
    return {
        "network": ConvNeXt,
        "layers": layers,
        "widths": tuple(widths * 2**stage for stage in range(len(layers))),
        **more,
    }


CONVNEXTS: dict[str, dict[str, Any]] = {
    "convnextv2_atto": _row(40, 2, 2, 6, 2, linear=False),
    "convnextv2_femto": _row(48, 2, 2, 6, 2, linear=False),
    "convnextv2_pico": _row(64, 2, 2, 6, 2, linear=False),
    "convnextv2_nano": _row(80, 2, 2, 8, 2, linear=False),
    "convnextv2_tiny": _row(96, 3, 3, 9, 3),
    "convnextv2_small": _row(96, 3, 3, 27, 3),
    "convnextv2_base": _row(128, 3, 3, 27, 3),
    "convnextv2_large": _row(192, 3, 3, 27, 3),
    "convnextv2_huge": _row(352, 3, 3, 27, 3, image_size=384),
}
"""Rows of `chanattn.models.architectures`, table 9 of the paper; `_small` is timm's alone."""
