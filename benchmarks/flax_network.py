"""The benchmark's networks in plain Flax: nn.Conv, nn.BatchNorm and nn.Dense as they come.

Names and shapes of the parameters are those of `chanattn.models`, so that one set of variables fits both, and
a test can compare their outputs. Gates are ours: beside the convolutions they cost little.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.rows import CONV_SLOT, Row
from chanattn import attention
from chanattn.attention.sk import BranchAttention
from chanattn.attention.splat import RadixAttention
from chanattn.attention.widths import make_divisible


def conv(features: int, kernel_size: int, *, name: str, dtype: Any, **more: Any) -> nn.Conv:
    """Convolution without bias, padded alike on both sides."""
    reach = more.get("kernel_dilation", 1) * (kernel_size - 1) // 2
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        padding=reach,
        use_bias=False,
        dtype=dtype,
        name=name,
        **more,
    )


def norm(train: bool, *, name: str, dtype: Any) -> nn.BatchNorm:
    """Batch norm with PyTorch's momentum and epsilon."""
    return nn.BatchNorm(
        use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name
    )


class PlainSelectiveKernel(nn.Module):
    """SK with two branches, each on its half of the input channels; (N, H, W, I) -> (N, H', W', filters)."""

    filters: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Mix the branches."""
        branches = []
        for number, half in enumerate(jnp.split(x, 2, axis=-1), 1):
            u = conv(
                self.filters,
                3,
                strides=self.stride,
                kernel_dilation=number,
                name=f"conv{number}",
                dtype=self.dtype,
            )(half)
            branches.append(nn.relu(norm(train, name=f"bn{number}", dtype=self.dtype)(u)))
        stacked = jnp.stack(branches, axis=1)
        width = make_divisible(self.filters / 16, 8, keep=0.9)
        weights = BranchAttention(width, name="attention")(stacked, train=train)
        return jnp.einsum("nmhwc,nmc->nhwc", stacked, weights.astype(stacked.dtype))


class PlainSplitAttention(nn.Module):
    """Split attention with radix 2, striding by a pool; (N, H, W, I) -> (N, H', W', filters)."""

    filters: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Mix the splits."""
        width = make_divisible(x.shape[-1] * 2 / 4, 8, 32, keep=0.9)
        u = conv(2 * self.filters, 3, feature_group_count=2, name="conv", dtype=self.dtype)(x)
        u = nn.relu(norm(train, name="bn", dtype=self.dtype)(u))
        splits = u.reshape(*u.shape[:3], 2, self.filters)
        weights = RadixAttention(width, name="attention")(splits, train=train)
        y = jnp.einsum("nhwrc,nrc->nhwc", splits, weights.astype(splits.dtype))
        if self.stride > 1:
            y = nn.avg_pool(y, (3, 3), (self.stride, self.stride), ((1, 1), (1, 1)))
        return y


class PlainBlock(nn.Module):
    """Basic or bottleneck block with attention.

    Attributes:
        planes: width before the bottleneck's expansion.
        stride: of the 3x3 convolution.
        bottleneck: whether 1x1 convolutions surround the 3x3 one.
        mechanism: of `rows.MECHANISMS`; empty: none.
        options: name and options of a gate.
        dtype: type of the activations.
    """

    planes: int
    stride: int
    bottleneck: bool
    mechanism: str
    options: Mapping[str, Any]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, H', W', planes), or 4 planes of a bottleneck."""
        filters = self.planes * (4 if self.bottleneck else 1)
        y, number = x, 1
        if self.bottleneck:
            y = nn.relu(self._conv_norm(1, y, self.planes, 1, train))
            number = 2
        y = self._spatial(number, y, train)
        last_size = 1 if self.bottleneck else 3
        y = self._conv_norm(number + 1, y, filters, last_size, train)
        if self.mechanism and self.mechanism not in CONV_SLOT:
            options = dict(self.options)
            gate = attention.create(options.pop("name"), name="attention", **options)
            y = gate(y, train=train)
        return nn.relu(y + self._shortcut(x, filters, train))

    def _spatial(self, number: int, x: jax.Array, train: bool) -> jax.Array:
        kinds: dict[str, Any] = {"sk": PlainSelectiveKernel, "splat": PlainSplitAttention}
        if self.mechanism in kinds:
            slot = kinds[self.mechanism](self.planes, self.stride, self.dtype, name=f"conv{number}")
            return slot(x, train)
        return nn.relu(self._conv_norm(number, x, self.planes, 3, train, strides=self.stride))

    def _shortcut(self, x: jax.Array, filters: int, train: bool) -> jax.Array:
        if self.stride == 1 and x.shape[-1] == filters:
            return x
        if self.bottleneck:
            return PlainProjection(filters, self.stride, self.dtype, name="shortcut")(x, train)
        x = x[:, :: self.stride, :: self.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])))

    def _conv_norm(
        self, number: int, x: jax.Array, features: int, size: int, train: bool, **more: Any
    ) -> jax.Array:
        y = conv(features, size, name=f"conv{number}", dtype=self.dtype, **more)(x)
        return norm(train, name=f"bn{number}", dtype=self.dtype)(y)


class PlainProjection(nn.Module):
    """Strided 1x1 convolution and norm."""

    filters: int
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Bring (N, H, W, I) to the shape of the residual branch."""
        y = conv(self.filters, 1, strides=self.stride, name="conv", dtype=self.dtype)(x)
        return norm(train, name="bn", dtype=self.dtype)(y)


class PlainStem(nn.Module):
    """One convolution with norm and ReLU; of large pictures a strided 7x7."""

    features: int
    large: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, 3) -> (N, H', W', features)."""
        size, stride = (7, 2) if self.large else (3, 1)
        y = conv(self.features, size, strides=stride, name="conv1", dtype=self.dtype)(x)
        return nn.relu(norm(train, name="bn1", dtype=self.dtype)(y))


class PlainResNet(nn.Module):
    """ResNet-20 for 32x32 or ResNet-50 for 224x224 pictures.

    Attributes:
        large: ResNet-50.
        num_classes: outputs.
        mechanism: of `rows.MECHANISMS`; empty: none.
        options: name and options of a gate.
        dtype: type of the activations.
    """

    large: bool
    num_classes: int
    mechanism: str
    options: Mapping[str, Any]
    dtype: Any = jnp.float32

    @classmethod
    def of(cls, row: Row) -> "PlainResNet":
        """The network of a row."""
        return cls(
            row.architecture == "resnet50",
            row.num_classes,
            row.attention,
            row.options,
            jnp.dtype(row.precision),
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, Any]]:
        """(N, H, W, 3) -> logits (N, num_classes), float32, and no endpoints."""
        layers, width = ((3, 4, 6, 3), 64) if self.large else ((3, 3, 3), 16)
        x = PlainStem(width, self.large, self.dtype, name="stem")(x.astype(self.dtype), train)
        if self.large:
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, depth in enumerate(layers, 1):
            for number in range(1, depth + 1):
                x = PlainBlock(
                    width * 2 ** (stage - 1),
                    stride=2 if stage > 1 and number == 1 else 1,
                    bottleneck=self.large,
                    mechanism=self.mechanism,
                    options=self.options,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{number}",
                )(x, train)
        pooled = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return nn.Dense(self.num_classes, name="classifier")(pooled), {}
