"""Semantic FPN: a pyramid of features, brought to the size of its finest level and added up.

Kirillov, Girshick, He, Dollar. Panoptic Feature Pyramid Networks. CVPR 2019. arXiv:1901.02446, section 3.1.
The laterals are merged without a 3x3 convolution behind them, as in segmentation_models_pytorch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import Conv, bilinear, nearest
from chanattn.layers.norm import EPSILON

LEAST_STRIDE = 4


class FPN(nn.Module):
    """Class scores of every pixel.

    Stage i gives `p_i = conv1x1(stage_i) + nearest(p_i+1)`. Each `p_i` goes through (conv3x3, group norm,
    ReLU, twice the size) until it has the size of the finest one, and through one such convolution at least;
    their sum gives the logits (1x1), which are interpolated to the size of the pictures.

    Attributes:
        num_classes: Scores a pixel.
        pyramid_width: Channels of the pyramid.
        width: Channels behind it.
        groups: Of the group norms.
        align_corners: Of the interpolations, see `layers.bilinear`.
        dtype: Type of the activations; logits are float32.
        param_dtype: Type of the parameters.
    """

    num_classes: int
    pyramid_width: int = 64
    width: int = 64
    groups: int = 32
    align_corners: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> jax.Array:
        """Endpoints of a backbone -> logits (N, H, W, num_classes) float32; see `Head`."""
        del train
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        maps = levels(endpoints, size)
        merged = above = None
        for level in reversed(range(len(maps))):
            lateral = Conv(
                self.pyramid_width,
                kernel_size=1,
                use_bias=True,
                name=f"lateral{level + 1}",
                **types,
            )(maps[level])
            above = lateral if above is None else lateral + nearest(above, lateral.shape[1:3])
            y = above
            for number in range(max(level, 1)):
                name = f"level{level + 1}_{number + 1}"
                y = Conv(self.width, name=f"{name}_conv", **types)(y)
                norm = nn.GroupNorm(self.groups, epsilon=EPSILON, name=f"{name}_norm", **types)
                y = nn.relu(norm(y))
                finer = maps[max(level - number - 1, 0)]
                y = bilinear(y, finer.shape[1:3], align_corners=self.align_corners)
            merged = y if merged is None else merged + y
        assert merged is not None
        logits = Conv(
            self.num_classes,
            kernel_size=1,
            use_bias=True,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.normal(0.01),
            name="logits",
        )(drop(merged))
        return bilinear(logits, size, align_corners=self.align_corners)


def levels(endpoints: Mapping[str, jax.Array], size: tuple[int, int]) -> list[jax.Array]:
    """The last map of every stride from 4 on, or the last three stages of a network that has fewer.

    Args:
        endpoints: Of a backbone; its stages halve the map, or leave it.
        size: Height and width of the pictures.
    """
    stages = [
        endpoints[f"stage{i}"] for i in range(1, 1 + len(endpoints)) if f"stage{i}" in endpoints
    ]
    coarse = [x for x in stages if x.shape[1] * LEAST_STRIDE <= size[0] + LEAST_STRIDE - 1]
    chosen = coarse if len(coarse) >= min(len(stages), 3) else stages[-3:]
    return [
        x
        for x, following in zip(chosen, [*chosen[1:], None], strict=True)
        if following is None or following.shape[1:3] != x.shape[1:3]
    ]
