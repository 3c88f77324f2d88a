"""DANet: self-attention among positions and among channels, side by side.

Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019. arXiv:1809.02983.
The two mechanisms: `chanattn.attention.danet_pam` and `danet_cam`.

The published network has dilated stages and works at stride 8, where the attention among P positions of a
360x480 picture has P^2 = 7.3 million entries. Here strides stay as they are: the last stage is brought to the
size of the one before and concatenated with it, so that P is 690 there.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import bilinear
from chanattn.models.heads.parts import ConvNorm, DenseHead, outputs
from chanattn.models.slots import Slot


class DANet(DenseHead):
    """Class scores of every pixel from the last two stages.

    Two branches of convolution, attention, convolution, whose sum gives the logits; in training each gives
    logits of its own as well, auxiliary outputs. `neck` puts a mechanism in the place of the channel
    attention.

    Attributes:
        width: Channels of all layers; 0: a quarter of the last stage's (512 on ResNet-50).
    """

    has_auxiliary: ClassVar[bool] = True
    mechanisms: ClassVar[dict[str, Slot]] = {
        "position": Slot("danet_pam", "neck"),
        "channel": Slot("danet_cam", "neck"),
    }

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
        maps, types = self.maps(endpoints)[-2:], self.types()
        width = self.width or max(maps[-1].shape[-1] // 4, 1)
        x = jnp.concatenate([bilinear(y, maps[0].shape[1:3]) for y in maps], axis=-1)
        branches = {}
        for name, slot in self.mechanisms.items():
            y = ConvNorm(width, name=f"{name}_before", **types)(x, train)
            if name == "position":
                y = slot.build("position_attention", param_dtype=self.param_dtype)(y, train=train)
            else:
                y = self.attend(slot, name, y, train)
            branches[name] = ConvNorm(width, name=f"{name}_behind", **types)(y, train)
        logits = self.classify(branches["position"] + branches["channel"], drop, "logits")
        auxiliary = {}
        if self.in_training(train):
            auxiliary = {
                name: self.classify(y, drop, f"{name}_logits") for name, y in branches.items()
            }
        return outputs(logits, auxiliary, size, train)
