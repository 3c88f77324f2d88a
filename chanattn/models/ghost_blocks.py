"""Blocks of GhostNet and RepGhost: half of a map is made of the other half by a depthwise convolution.

Han, Wang, Tian, Guo, Xu, Xu. GhostNet: More Features from Cheap Operations. CVPR 2020. arXiv:1911.11907.
Tang, Han, Guo, Xu, Xu, Wang. GhostNetV2: Enhance Cheap Operation with Long-Range Attention. NeurIPS 2022.
arXiv:2211.12905. Chen, Guo, Zeng, Xiong, Dong. RepGhost: A Hardware-Efficient Ghost Module via
Re-parameterization. 2022. arXiv:2211.06088.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import BatchNorm, Conv, avg_pool, nearest
from chanattn.models.mobile_blocks import MobileBlock


class GhostBlock(MobileBlock, kw_only=True):  # type: ignore[call-arg]
    """Ghost module to the width of the branch, strided depthwise convolution if any, linear ghost module.

    A ghost module is a 1x1 convolution to half of the channels, and a depthwise 3x3 one of its result; both
    results are the map. Where the shape changes, the shortcut is a depthwise and a 1x1 convolution. "mid" is
    in front of the second module, "pre_norm" in front of the norm of its 1x1 convolution.

    Attributes:
        spread: The first module's output is weighed position by position (version 2), see `Spread`.
    """

    spread: bool = False

    always_shortcut: ClassVar[bool] = True

    def module(
        self, number: int, x: jax.Array, features: int, state: Any, *, last: bool
    ) -> tuple[jax.Array, Any]:
        """A module whose convolutions are `number` and the next; the `last` one is linear."""
        half = -(-features // 2)
        how = {"act": not last, "silent": last}
        y = self.conv(number, x, half, 1)
        if last:
            y, state = self.attend("pre_norm", y, state)
        y = self.norm(number, y, **how)
        z = self.conv(number + 1, y, half, 3, groups=half)
        z = self.norm(number + 1, z, **how)
        return jnp.concatenate([y, z], axis=-1)[..., :features], state

    def shortcut_of(self, x: jax.Array) -> jax.Array:
        """The input, or what brings it to the shape of the branch."""
        if self.stride == 1 and x.shape[-1] == self.filters:
            return x
        types, inputs = self.conv_types(), x.shape[-1]
        x = Conv(
            inputs,
            self._size(),
            stride=self.stride,
            groups=inputs,
            name="shortcut_conv1",
            **types,
        )(x)
        x = BatchNorm(self.train, name="shortcut_bn1", **self.norm_types())(x)
        x = Conv(self.filters, 1, name="shortcut_conv2", **types)(x)
        return BatchNorm(self.train, name="shortcut_bn2", **self.norm_types())(x)

    def _size(self) -> int:
        assert isinstance(self.kernel_size, int)
        return self.kernel_size

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = self.width(x)
        y, state = self.attend("pre", x, state)
        weights = None
        if self.spread:
            weights = Spread(width, train=self.train, name="spread", **self.types())(y)
        y, state = self.module(1, y, width, state, last=False)
        y = y if weights is None else y * weights
        if self.stride > 1:
            y = self.conv(3, y, width, self._size(), stride=self.stride, groups=width)
            y = self.norm(3, y)
        y, state = self.attend("mid", y, state)
        y, state = self.module(4, y, self.filters, state, last=True)
        y, state = self.attend("post", y, state)
        x, state = self.attend("identity", self.shortcut_of(x), state)
        return self.attend("after_sum", self.drop_branch(y) + x, state)


class RepGhostBlock(GhostBlock, kw_only=True):  # type: ignore[call-arg]
    """The same with modules that add in place of concatenating: norm(depthwise(y)) + norm(y)."""

    def module(
        self, number: int, x: jax.Array, features: int, state: Any, *, last: bool
    ) -> tuple[jax.Array, Any]:
        """As of `GhostBlock`."""
        y = self.conv(number, x, features, 1)
        if last:
            y, state = self.attend("pre_norm", y, state)
        y = self.norm(number, y, act=not last)
        z = self.conv(number + 1, y, features, 3, groups=features)
        z = self.norm(number + 1, z, silent=last)
        scale = nn.initializers.zeros if last and self.zero_init else nn.initializers.ones
        fusion = BatchNorm(
            self.train, name=f"fusion_bn{number}", scale_init=scale, **self.norm_types()
        )
        z = z + fusion(y)
        return (z if last else self.act(z)), state


class Spread(nn.Module):
    """Weights (N, H, W, features) in (0, 1): GhostNetV2's decoupled fully connected attention.

    Of the map at half the size: a 1x1 convolution and depthwise ones of 1x5 and 5x1, each with a norm, the
    sigmoid; then back to the size of the map.

    Attributes:
        features: Their channels.
        train: Whether norms use the batch's statistics.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    features: int
    train: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, I) -> (N, H, W, features)."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        whole = min(x.shape[1:3]) < 2  # of tiny pictures: there is nothing to halve
        y = x if whole else avg_pool(x, 2, 2, count_padding=False)
        for number, size in enumerate(((1, 1), (1, 5), (5, 1)), 1):
            conv = nn.Conv(
                self.features,
                size,
                feature_group_count=1 if number == 1 else self.features,
                use_bias=False,
                name=f"conv{number}",
                **types,
            )
            y = BatchNorm(self.train, name=f"bn{number}", **types)(conv(y))
        return nearest(nn.sigmoid(y), x.shape[1:3])
