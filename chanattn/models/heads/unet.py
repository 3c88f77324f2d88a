"""U-Net's decoder: from the coarsest map up, one stage a time, to the size of the pictures.

Ronneberger, Fischer, Brox. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015.
arXiv:1505.04597, as segmentation_models_pytorch has it on a backbone: sizes are those of the maps above,
batch norm, places for attention before and behind the two convolutions of a block (scSE: arXiv:1803.02579).
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import nearest
from chanattn.models.heads.parts import ConvNorm, DenseHead, by_stride
from chanattn.models.slots import Slot

WIDTH, WIDEST = 16, 256


class UNet(DenseHead):
    """Class scores of every pixel from all stages and the stem.

    A block doubles the size, concatenates the map of the backbone of that size, and has two convolutions. One
    more without such a map leads to the size of the pictures, if no map has it. `neck` puts a mechanism
    before the first convolution of every block that has such a map, and behind the second of every block.
    The published head has none.

    Attributes:
        width: Channels of the finest block; each coarser has twice as many, up to 16 times.
        widths: Of all blocks, from the coarsest, if they are others.
    """

    widths: tuple[int, ...] = ()

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
        x = self.decode(endpoints, size, train)
        return self.classify(x, drop, "logits", kernel_size=3)

    def decode(
        self, endpoints: Mapping[str, jax.Array], size: tuple[int, int], train: bool
    ) -> jax.Array:
        """Features of every pixel (N, H, W, width)."""
        *skips, x = (endpoints[name] for name in self._levels())
        sources: list[jax.Array | None] = list(reversed(skips))
        if dict(self.strides)[self._levels()[0]] > 1:
            sources.append(None)
        for number, (width, skip) in enumerate(
            zip(self._widths(len(sources)), sources, strict=True), 1
        ):
            name = f"block{number}"
            x = nearest(x, size if skip is None else skip.shape[1:3])
            if skip is not None:
                x = jnp.concatenate([x, skip], axis=-1)
                x = self.attend(Slot(), f"{name}_first", x, train)
            for convolution in (1, 2):
                x = ConvNorm(width, name=f"{name}_conv{convolution}", **self.types())(x, train)
            x = self.attend(Slot(), f"{name}_second", x, train)
        return x

    @nn.nowrap
    def _levels(self) -> list[str]:
        """Names of the maps, the finest first."""
        return list(by_stride(self.strides).values())

    @nn.nowrap
    def _widths(self, count: int) -> tuple[int, ...]:
        if self.widths:
            return self.widths
        finest = self.width or WIDTH
        return tuple(finest * min(2**i, WIDEST // WIDTH) for i in reversed(range(count)))
