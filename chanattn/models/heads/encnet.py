"""EncNet: channels are reweighed by an encoding of the whole scene.

Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal. Context Encoding for Semantic Segmentation. CVPR 2018.
arXiv:1803.08904. The encoding itself: `chanattn.attention.encnet`.

The published network has dilated stages, so that the last three share stride 8. Here strides stay as they
are; the last stage and the laterals (the authors' option `lateral`) are brought to that of the third last.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import bilinear
from chanattn.models.heads.parts import ConvNorm, DenseHead, outputs
from chanattn.models.slots import Slot

AUXILIARY_WEIGHT = 0.4


class EncNet(DenseHead):
    """Class scores of every pixel from the last three stages, and which classes a picture contains.

    A convolution on the last stage, concatenated with 1x1 convolutions on the two before and fused by another
    one; then the place of attention, which the encoding has by itself, with its SE-loss. An auxiliary output,
    an FCN, on the stage before the last.

    Attributes:
        width: Channels of all layers; 0: a quarter of the last stage's (512 on ResNet-50).
        lateral: Whether stages before the last are there; without them the map has the last one's stride.
    """

    has_auxiliary: ClassVar[bool] = True
    mechanisms: ClassVar[dict[str, Slot]] = {
        "encoding": Slot("encnet", "neck", options=(("se_loss", True),))
    }
    lateral: bool = True

    @nn.compact
    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> Any:
        """Endpoints of a backbone -> logits (N, H, W, num_classes) float32; see `Head`."""
        maps, types = self.maps(endpoints)[-3:], self.types()
        width = self.width or max(maps[-1].shape[-1] // 4, 1)
        x = ConvNorm(width, name="conv", **types)(maps[-1], train)
        if self.lateral:
            target = maps[0].shape[1:3]
            laterals = [
                ConvNorm(width, 1, name=f"lateral{number}", **types)(map_, train)
                for number, map_ in enumerate(maps[:-1], 1)
            ]
            x = jnp.concatenate([bilinear(y, target) for y in (x, *laterals)], axis=-1)
            x = ConvNorm(width, name="fuse", **types)(x, train)
        x = self.attend(self.mechanisms["encoding"], "encoding", x, train)
        logits = self.classify(x, drop, "logits")
        auxiliary = {}
        if len(maps) > 1 and self.in_training(train):
            before = FCN(self.num_classes, name="auxiliary", **types)
            auxiliary["auxiliary"] = before(maps[-2], drop, train)
        return outputs(logits, auxiliary, size, train, AUXILIARY_WEIGHT)


class FCN(DenseHead):
    """The simplest head on one map: a convolution to a quarter of the channels, and one to the classes.

    Long, Shelhamer, Darrell. Fully Convolutional Networks for Semantic Segmentation. CVPR 2015.
    """

    @nn.compact
    def __call__(
        self, x: jax.Array, drop: Callable[[jax.Array], jax.Array], train: bool
    ) -> jax.Array:
        """(N, h, w, C) -> logits (N, h, w, num_classes)."""
        x = ConvNorm(self.width or max(x.shape[-1] // 4, 1), name="conv", **self.types())(x, train)
        return self.classify(x, drop, "logits")
