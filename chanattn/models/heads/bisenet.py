"""BiSeNet: a shallow path that keeps detail beside the backbone, which sees the context.

Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation.
ECCV 2018. arXiv:1808.00897. The gates (`chanattn.attention.bisenet`) are the authors'; widths, and sizes that
are doubled by repetition, are those of the much used port of CoinCheung.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import nearest
from chanattn.models.heads.parts import ConvNorm, DenseHead, check_width, levels, outputs
from chanattn.models.slots import Slot

WIDTH = 128


class BiSeNet(DenseHead):
    """Class scores of every pixel, from pictures (endpoint `image`) and the two coarsest stages.

    The spatial path takes the picture to stride 8 (that of the third last stage) by three convolutions. The
    context path refines the last stage, adds its global mean, and adds the refined stage before it, each time
    after doubling the size. Both paths are concatenated and fused. Two auxiliary outputs on the context path.
    Three places of attention: `refine32`, `refine16` (as they are called at these strides) and `fuse`.

    Attributes:
        width: Channels of the context path; the fusion has twice as many, the spatial path half.
    """

    has_auxiliary: ClassVar[bool] = True
    mechanisms: ClassVar[dict[str, Slot]] = {
        "refine": Slot("arm", "neck"),
        "fuse": Slot("ffm", "neck"),
    }

    def __post_init__(self) -> None:
        check_width(self.width, 2, "bisenet")
        if len(levels(self.strides)) < 3:
            raise UsageError(
                "the head bisenet needs a backbone of three stages at least; head fpn does with one"
            )
        super().__post_init__()

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
        width, types = self.width or WIDTH, self.types()
        spatial = self._spatial_path(endpoints["image"], width, train)
        *_, middle, coarse = self.maps(endpoints)

        mean = jnp.mean(coarse, axis=(1, 2), keepdims=True, dtype=jnp.float32)
        mean = ConvNorm(width, 1, name="mean", **types)(mean, train)
        x = mean + self.refine(coarse, "refine32", train)
        x = ConvNorm(width, name="up32", **types)(nearest(x, middle.shape[1:3]), train)
        context32 = x
        x = x + self.refine(middle, "refine16", train)
        x = ConvNorm(width, name="up16", **types)(nearest(x, spatial.shape[1:3]), train)

        fused = self.fuse(spatial, x, train)
        logits = self._output(fused, 2 * width, drop, "logits", train)
        further = {"context16": x, "context32": context32} if self.in_training(train) else {}
        auxiliary = {
            name: self._output(map_, width // 2, drop, name, train)
            for name, map_ in further.items()
        }
        return outputs(logits, auxiliary, size, train)

    @nn.nowrap
    def _halvings(self) -> int:
        """How often the spatial path halves the picture, at most three times."""
        _, stride = levels(self.strides)[-3]
        return min(stride.bit_length() - 1, 3)

    def _spatial_path(self, x: jax.Array, width: int, train: bool) -> jax.Array:
        """Pictures -> detail (N, H / 8, W / 8, width)."""
        types = self.types()
        for number in range(1, 4):
            name, stride = f"spatial{number}", 2 if number <= self._halvings() else 1
            layer = ConvNorm(width // 2, 7 if number == 1 else 3, stride, name=name, **types)
            x = layer(x, train)
        detail: jax.Array = ConvNorm(width, 1, name="spatial4", **types)(x, train)
        return detail

    def refine(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        """A convolution and the first place for attention: the paper's ARM."""
        x = ConvNorm(self.width or WIDTH, name=name, **self.types())(x, train)
        return self.attend(self.mechanisms["refine"], name, x, train)

    def fuse(self, spatial: jax.Array, context: jax.Array, train: bool) -> jax.Array:
        """Both paths, a convolution and the second place for attention: the paper's FFM."""
        x = jnp.concatenate([spatial, context], axis=-1)
        x = ConvNorm(2 * (self.width or WIDTH), 1, name="fuse", **self.types())(x, train)
        return self.attend(self.mechanisms["fuse"], "fuse", x, train)

    def _output(
        self,
        x: jax.Array,
        width: int,
        drop: Callable[[jax.Array], jax.Array],
        name: str,
        train: bool,
    ) -> jax.Array:
        x = ConvNorm(width, name=f"{name}_conv", **self.types())(x, train)
        return self.classify(x, drop, name)
