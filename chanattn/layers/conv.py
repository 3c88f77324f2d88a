"""Two-dimensional convolution with explicit, symmetric padding."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers.convolution import convolve

# He et al., ICCV 2015, in the fan-out form that ResNets are trained with (torchvision, timm).
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nn.Module):
    """Convolution, (N, H, W, I) -> (N, H', W', features), padded by dilation * (kernel - 1) / 2 on each side.

    "SAME" padding of a strided convolution pads more on the right than on the left; PyTorch, and so
    every published ResNet, pads symmetrically. The kernel has shape (kernel, kernel, I / groups, features).

    Attributes:
        features: Output channels.
        kernel_size: Height and width of the kernel; odd.
        stride: Step in both directions.
        groups: Number of channel groups, each convolved on its own.
        dilation: Distance between the taps.
        use_bias: Whether a bias is added.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
        kernel_init: Initialiser of the kernel.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    use_bias: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal_fan_out

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (N, H, W, I).

        Raises:
            UsageError: The groups do not divide the channels.
        """
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise UsageError(
                f"a convolution from {x.shape[-1]} to {self.features} channels cannot have "
                f"{self.groups} groups"
            )
        size = self.kernel_size
        shape = (size, size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
            bias = bias.astype(self.dtype)
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), bias, **self.window)

    @property
    def window(self) -> dict[str, Any]:
        """Strides, padding, dilation and groups, as `convolve` takes them."""
        pad = self.dilation * (self.kernel_size - 1) // 2
        return {
            "strides": (self.stride, self.stride),
            "padding": ((pad, pad), (pad, pad)),
            "dilation": (self.dilation, self.dilation),
            "groups": self.groups,
        }
