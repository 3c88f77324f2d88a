"""What comes before the first stage."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import BatchNorm, Conv, avg_pool, blur_pool, max_pool

STEMS = ("cifar", "cifar_bare", "conv3", "conv3_bare", "conv7", "deep", "tiered")
POOLS = ("max", "ceil_max", "conv", "avg", "max_blur")


class Stem(nn.Module):
    """First convolutions of a network; all but the CIFAR ones halve the picture.

    Attributes:
        kind: "cifar": one 3x3; "cifar_bare": the same without norm and activation (pre-activation nets);
            "conv3" and "conv3_bare": such a one of stride 2; "conv7": one 7x7; "deep": three 3x3 of widths
            w, w, 2 w (ResNet-C, arXiv:1812.01187); "tiered": 3 w / 4, w, 2 w (timm's "t" models).
        width: w; "deep" and "tiered" have 2 w output channels, the others w.
        strided: The last convolution halves the map too (and no pool follows).
        activation: A name of `layers.activation`.
        train: Whether norms use the batch's statistics.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    kind: str
    width: int
    strided: bool = False
    activation: str = "relu"
    train: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(N, H, W, 3) -> the last map before a second halving, and the stem's output."""
        w = self.width
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        kernel_size = 7 if self.kind == "conv7" else 3
        widths = {"deep": (w, w, 2 * w), "tiered": (3 * (w // 4), w, 2 * w)}.get(self.kind, (w,))
        strides = [1 if self.kind.startswith("cifar") else 2] + [1] * (len(widths) - 1)
        if self.strided:
            strides[-1] *= 2
        before = x
        for number, (features, stride) in enumerate(zip(widths, strides, strict=True), 1):
            before = x
            x = Conv(features, kernel_size, stride=stride, name=f"conv{number}", **types)(x)
            if not self.kind.endswith("_bare"):
                x = BatchNorm(self.train, name=f"bn{number}", act=self.activation, **types)(x)
        return (before if self.strided else x), x


class StemPool(nn.Module):
    """Halves the stem's map.

    Attributes:
        kind: "max": 3x3 max pool; "ceil_max": the same without padding, see `ceil_max_pool`; "conv": 3x3
            convolution with norm and activation (ResNet-RS); "avg": the mean of 2x2; "max_blur": 3x3 max pool
            of stride 1, then `blur_pool` (anti-aliased networks).
        activation: A name of `layers.activation`.
        train: Whether norms use the batch's statistics.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    kind: str = "max"
    activation: str = "relu"
    train: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) -> (N, ceil(H / 2), ceil(W / 2), C); "ceil_max" rounds odd sizes down."""
        if self.kind == "ceil_max":
            return ceil_max_pool(x)
        if self.kind == "max":
            return max_pool(x, 3, 2, padding=1)
        if self.kind == "avg":
            return avg_pool(x, 2, 2, count_padding=False, ceil_mode=True)
        if self.kind == "max_blur":
            return blur_pool(max_pool(x, 3, 1, padding=1))
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Conv(x.shape[-1], 3, stride=2, name="conv", **types)(x)
        return BatchNorm(self.train, name="bn", act=self.activation, **types)(x)


def ceil_max_pool(x: jax.Array) -> jax.Array:
    """3x3 max pool of stride 2 without padding that keeps the last, partial window (Caffe, VoVNet)."""
    ends = [(0, max(-(size - 3) % 2, 3 - size)) for size in x.shape[1:3]]
    return max_pool(jnp.pad(x, ((0, 0), *ends, (0, 0)), constant_values=-jnp.inf), 3, 2)
