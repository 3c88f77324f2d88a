"""Semantic FPN: a pyramid of features, brought to the size of its finest level and added up.

Kirillov, Girshick, He, Dollar. Panoptic Feature Pyramid Networks. CVPR 2019. arXiv:1901.02446, section 3.1.
The laterals are merged without a 3x3 convolution behind them, as in segmentation_models_pytorch.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax

from chanattn.layers import Conv, bilinear, nearest
from chanattn.layers.norm import EPSILON
from chanattn.models.heads.parts import DenseHead, check_width
from chanattn.models.slots import Slot

WIDTH = 64


class FPN(DenseHead):
    """Class scores of every pixel.

    Stage i gives `p_i = conv1x1(stage_i) + nearest(p_i+1)`. Each `p_i` goes through (conv3x3, group norm,
    ReLU, twice the size) until it has the size of the finest one, and through one such convolution at least;
    their sum gives the logits (1x1), which are interpolated to the size of the pictures. `neck` puts a
    mechanism on every lateral, behind its convolution; the published head has none.

    Attributes:
        pyramid_width: Channels of the pyramid; 0: `width`.
        groups: Of the group norms.
        align_corners: Of the interpolations, see `layers.bilinear`.
    """

    pyramid_width: int = 0
    groups: int = 32
    align_corners: bool = False

    def __post_init__(self) -> None:
        check_width(self.width, self.groups, "fpn")
        super().__post_init__()

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
        types = self.types()
        width = self.width or WIDTH
        maps = self.maps(endpoints)
        merged = above = None
        for level in reversed(range(len(maps))):
            name = f"lateral{level + 1}"
            layer = Conv(self.pyramid_width or width, 1, use_bias=True, name=name, **types)
            lateral = self.attend(Slot(), name, layer(maps[level]), train)
            above = lateral if above is None else lateral + nearest(above, lateral.shape[1:3])
            y = above
            for number in range(max(level, 1)):
                name = f"level{level + 1}_{number + 1}"
                y = Conv(width, name=f"{name}_conv", **types)(y)
                norm = nn.GroupNorm(self.groups, epsilon=EPSILON, name=f"{name}_norm", **types)
                y = nn.relu(norm(y))
                finer = maps[max(level - number - 1, 0)]
                y = bilinear(y, finer.shape[1:3], align_corners=self.align_corners)
            merged = y if merged is None else merged + y
        assert merged is not None
        return bilinear(
            self.classify(merged, drop, "logits"), size, align_corners=self.align_corners
        )
