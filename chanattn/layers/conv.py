"""Two-dimensional convolution with padding as PyTorch has it, or TensorFlow."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.errors import UsageError
from chanattn.layers.convolution import convolve

# He et al., ICCV 2015, in the fan-out form that ResNets are trained with (torchvision, timm).
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


PADDINGS = ("symmetric", "same")


class Conv(nn.Module):
    """Convolution, (N, H, W, I) -> (N, ceil(H / stride), ceil(W / stride), features).

    PyTorch, and so every published ResNet, pads by dilation * (kernel - 1) / 2 on each side. TensorFlow's
    "SAME" pads by what the last window lacks, half of it before and, where it is odd, one more behind; the
    two differ where the stride is not 1. The kernel has shape (kernel, kernel, I / groups, features).

    Attributes:
        features: Output channels.
        kernel_size: Height and width of the kernel; odd.
        stride: Step in both directions.
        groups: Number of channel groups, each convolved on its own.
        dilation: Distance between the taps.
        use_bias: Whether a bias is added.
        padding: "symmetric" or "same".
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
        kernel_init: Initialiser of the kernel.
        bias_init: Initialiser of the bias.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    use_bias: bool = False
    padding: str = "symmetric"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (N, H, W, I).

        Raises:
            UsageError: The groups do not divide the channels, or there is no such padding.
        """
        if self.padding not in PADDINGS:
            raise UsageError(f"unknown padding {self.padding!r}; valid: {', '.join(PADDINGS)}")
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise UsageError(
                f"a convolution from {x.shape[-1]} to {self.features} channels cannot have "
                f"{self.groups} groups"
            )
        size = self.kernel_size
        shape = (size, size, x.shape[-1] // self.groups, self.features)
        kernel = self._kernel(shape)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
            bias = bias.astype(self.dtype)
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), bias, **self.window(x))

    def _kernel(self, shape: tuple[int, ...]) -> jax.Array:
        kernel: jax.Array = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        return kernel

    def window(self, x: jax.Array) -> dict[str, Any]:
        """Strides, padding, dilation and groups on x (N, H, W, I), as `convolve` takes them."""
        height, width = x.shape[1:3]
        return {
            "strides": (self.stride, self.stride),
            "padding": (self._pads(height), self._pads(width)),
            "dilation": (self.dilation, self.dilation),
            "groups": self.groups,
        }

    def _pads(self, size: int) -> tuple[int, int]:
        """Zeros before and behind an axis of that size."""
        reach = self.dilation * (self.kernel_size - 1)
        if self.padding == "symmetric":
            return reach // 2, reach // 2
        lacking = max((-(-size // self.stride) - 1) * self.stride + reach + 1 - size, 0)
        return lacking // 2, lacking - lacking // 2


class StandardizedConv(Conv):
    """Convolution whose kernel is standardised before it is used (scaled weight standardisation).

        W_o <- gain_o gamma (W_o - mean(W_o)) / sqrt((var(W_o) + epsilon) fan_in)

    with mean and variance over (h, w, I), fan_in = h w I.
    Brock, De, Smith. Characterizing signal propagation to close the performance gap in unnormalized ResNets.
    ICLR 2021. arXiv:2101.08692. The gain (O,) is learnt; the kernel has the shape of that of `Conv`.

    Attributes:
        gamma: Makes up for the variance that the activation before takes away.
        epsilon: Added to the variance.
        gain_init: Initialiser of the gain.
    """

    gamma: float = 1.0
    epsilon: float = 1e-5
    gain_init: nn.initializers.Initializer = nn.initializers.ones

    def _kernel(self, shape: tuple[int, ...]) -> jax.Array:
        kernel = super()._kernel(shape).astype(jnp.float32)
        gain = self.param("gain", self.gain_init, shape[-1:], self.param_dtype)
        mean = jnp.mean(kernel, axis=(0, 1, 2))
        var = jnp.mean(jnp.square(kernel - mean), axis=(0, 1, 2))
        fan_in = shape[0] * shape[1] * shape[2]
        return (kernel - mean) * (gain * self.gamma * lax.rsqrt((var + self.epsilon) * fan_in))


class MixedConv(nn.Module):
    """Convolutions of several sizes side by side, each of its own part of the channels.

    Tan, Le. MixConv: Mixed Depthwise Convolutional Kernels. BMVC 2019. arXiv:1907.09595. Input and output
    channels are split evenly; what is left over belongs to the first part. Their names
    are `part1`, `part2`, ...

    Attributes:
        features: Output channels of all.
        kernel_sizes: One a part.
        stride: Step in both directions.
        groups: 1, or, of depthwise convolutions, the number of channels.
        padding: As of `Conv`.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    features: int
    kernel_sizes: tuple[int, ...]
    stride: int = 1
    groups: int = 1
    padding: str = "symmetric"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (N, H, W, I)."""
        count = len(self.kernel_sizes)
        inputs, outputs = (_split(channels, count) for channels in (x.shape[-1], self.features))
        maps, start = [], 0
        for number, (size, width, out) in enumerate(
            zip(self.kernel_sizes, inputs, outputs, strict=True), 1
        ):
            part = Conv(
                out,
                size,
                stride=self.stride,
                groups=width if self.groups > 1 else 1,
                padding=self.padding,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"part{number}",
            )
            maps.append(part(x[..., start : start + width]))
            start += width
        return jnp.concatenate(maps, axis=-1)


def _split(channels: int, parts: int) -> list[int]:
    even = channels // parts
    return [channels - even * (parts - 1)] + [even] * (parts - 1)
