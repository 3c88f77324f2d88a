"""Fully connected layers for pooled descriptors.

They compute in float32 whatever the type of the features: a descriptor has one value a channel, so the
cost is nothing beside the network's, and gates that saturate keep their precision.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers.conv import he_normal_fan_out


def dense(
    features: int, *, name: str, use_bias: bool = True, param_dtype: Any = jnp.float32
) -> nn.Dense:
    """Y = s W + b on the last axis, W of shape (input width, features)."""
    return nn.Dense(
        features,
        use_bias=use_bias,
        dtype=jnp.float32,
        param_dtype=param_dtype,
        kernel_init=he_normal_fan_out,
        name=name,
    )


class GroupedDense(nn.Module):
    """A block-diagonal dense layer: contiguous group g of the inputs feeds contiguous group g of the outputs.

    The same as a grouped 1x1 convolution on a pooled vector. The kernel has shape (groups,
    I / groups, features / groups), the bias (features,).

    Attributes:
        features: Output width; a multiple of `groups`.
        groups: Number of blocks; divides the input width too.
        use_bias: Whether a bias is added.
        param_dtype: Type of the parameters.
    """

    features: int
    groups: int
    use_bias: bool = True
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array) -> jax.Array:
        """Map (..., I) to (..., features)."""
        shape = (self.groups, s.shape[-1] // self.groups, self.features // self.groups)
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal", batch_axis=0)
        kernel = self.param("kernel", init, shape, self.param_dtype).astype(jnp.float32)
        grouped = s.astype(jnp.float32).reshape(*s.shape[:-1], self.groups, -1)
        y = jnp.einsum("...gi,gio->...go", grouped, kernel).reshape(*s.shape[:-1], self.features)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        return y
