"""What comes before the first stage."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import Conv, batch_norm, max_pool

STEMS = ("cifar", "cifar_bare", "conv7", "deep", "tiered")


class Stem(nn.Module):
    """First convolutions of a network; all but the CIFAR ones halve the picture.

    Attributes:
        kind: "cifar": one 3x3; "cifar_bare": the same without norm and activation (pre-activation nets);
            "conv7": one 7x7; "deep": three 3x3 of widths w, w, 2 w (ResNet-C, arXiv:1812.01187);
            "tiered": 3 w / 4, w, 2 w (timm's "t" models).
        width: w; "cifar" and "conv7" have w output channels, the others 2 w.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    kind: str
    width: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, 3) -> (N, H', W', channels)."""
        w = self.width
        kernel_size = 7 if self.kind == "conv7" else 3
        widths = {"deep": (w, w, 2 * w), "tiered": (3 * (w // 4), w, 2 * w)}.get(self.kind, (w,))
        for number, features in enumerate(widths, 1):
            halve = number == 1 and not self.kind.startswith("cifar")
            x = Conv(
                features,
                kernel_size,
                stride=2 if halve else 1,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"conv{number}",
            )(x)
            if self.kind != "cifar_bare":
                norm = batch_norm(
                    train, name=f"bn{number}", dtype=self.dtype, param_dtype=self.param_dtype
                )
                x = nn.relu(norm(x))
        return x


class StemPool(nn.Module):
    """Halves the stem's map: a 3x3 max pool, or a 3x3 convolution with norm and activation (ResNet-RS)."""

    learned: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, ceil(H / 2), ceil(W / 2), C)."""
        if not self.learned:
            return max_pool(x, 3, 2, padding=1)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Conv(x.shape[-1], 3, stride=2, name="conv", **types)(x)
        return nn.relu(batch_norm(train, name="bn", **types)(x))
