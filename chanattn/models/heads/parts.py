"""What heads of dense tasks have in common: layers, the maps they look at, places for attention, outputs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, bilinear
from chanattn.models.slots import Slot

#: Name and stride of every endpoint that is a map, as `Network.strides`.
Strides = tuple[tuple[str, int], ...]
LEAST_STRIDE = 4


@dataclasses.dataclass(frozen=True)
class WithAuxiliary:
    """What a head gives in training that has further outputs, each of which is learnt as the first.

    Attributes:
        logits: Those that an evaluation has alone.
        auxiliary: Further ones of the same shape, by name.
        weight: Of their losses in the published network, beside 1.
    """

    logits: jax.Array
    auxiliary: dict[str, jax.Array]
    weight: float


jax.tree_util.register_dataclass(
    WithAuxiliary, data_fields=["logits", "auxiliary"], meta_fields=["weight"]
)


class ConvNorm(nn.Module):
    """Convolution without a bias, batch norm, ReLU.

    Attributes:
        features: Output channels.
        kernel_size: Of the convolution.
        stride: Of the convolution.
        dtype: Type of the activations.
        param_dtype: Type of the parameters.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H', W', features)."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        y = Conv(self.features, self.kernel_size, self.stride, name="conv", **types)(x)
        y = BatchNorm(train, name="bn", act="relu", **types)(y)
        return y


class MapHead(nn.Module):
    """Base of the heads that look at maps, and of their parts that have places for attention.

    Attributes:
        mechanisms: Those of the published head, by what it calls them; which of them `neck` replaces, a head
            says itself.
        num_classes: What it tells apart.
        width: Channels of the head, see there; 0: its own.
        neck: The mechanism that takes the head's places for attention; None: each has the head's own.
        strides: Of the backbone's endpoints.
        dtype: Type of the activations; outputs are float32.
        param_dtype: Type of the parameters.
    """

    mechanisms: ClassVar[dict[str, Slot]] = {}
    num_classes: int
    width: int = 0
    neck: Slot | None = None
    strides: Strides = tuple((f"stage{i}", 2 ** (i + 1)) for i in range(1, 5))
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def types(self) -> dict[str, Any]:
        """Arguments of every layer."""
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def attend(self, own: Slot, name: str, x: jax.Array, train: bool) -> jax.Array:
        """A place for attention, with the mechanism that was chosen or the head's own; none is the identity.

        Args:
            own: The head's own, one of its `mechanisms`.
            name: Of the module in the head.
            x: (N, H, W, C).
            train: As of the head.
        """
        slot = own if self.neck is None else self.neck
        if slot.name == "identity":
            return x
        module = slot.build(
            f"{name}_attention", num_classes=self.num_classes, param_dtype=self.param_dtype
        )
        attended: jax.Array = module(x, train=train)
        return attended


class DenseHead(MapHead):
    """Base of the heads that give logits of every pixel.

    Attributes:
        has_auxiliary: Whether it gives a `WithAuxiliary` in training.
    """

    has_auxiliary: ClassVar[bool] = False

    def maps(self, endpoints: Mapping[str, jax.Array]) -> list[jax.Array]:
        """Those of `levels`, the finest first."""
        return [endpoints[name] for name, _ in levels(self.strides)]

    def classify(
        self, x: jax.Array, drop: Callable[[jax.Array], jax.Array], name: str, kernel_size: int = 1
    ) -> jax.Array:
        """Features -> logits (N, h, w, num_classes) float32: dropout, a convolution with a bias."""
        layer = Conv(
            self.num_classes,
            kernel_size,
            use_bias=True,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.normal(0.01),
            name=name,
        )
        logits: jax.Array = layer(drop(x))
        return logits

    def in_training(self, train: bool) -> bool:
        """Whether auxiliary outputs are wanted; also where parameters are made."""
        return train or self.is_initializing()


def outputs(
    logits: jax.Array,
    auxiliary: Mapping[str, jax.Array],
    size: tuple[int, int],
    train: bool,
    weight: float = 1.0,
) -> Any:
    """Logits at the size of the pictures; in training together with auxiliary ones."""
    logits = bilinear(logits, size)
    if not train:
        return logits
    further = {name: bilinear(x, size) for name, x in auxiliary.items()}
    return WithAuxiliary(logits, further, weight)


def levels(strides: Strides) -> list[tuple[str, int]]:
    """Names and strides of the stages from stride 4 on, or of the last three of a network that has fewer.

    By strides and not by the sizes of maps, so that parameters do not depend on those of the pictures.
    """
    stages = [(name, stride) for name, stride in strides if name.startswith("stage")]
    coarse = [(name, stride) for name, stride in stages if stride >= LEAST_STRIDE]
    return coarse if len(coarse) >= min(len(stages), 3) else stages[-3:]


def by_stride(strides: Strides) -> dict[int, str]:
    """The last endpoint of each stride, from the finest; a convolution behind the stages is none."""
    return {stride: name for name, stride in strides if name != "final"}


def check_width(width: int, divisor: int, head: str, of: str = "") -> None:
    """Refuses a width that layers cannot have.

    Args:
        width: Channels.
        divisor: Of the width.
        head: Its name.
        of: What tells where the divisor comes from.

    Raises:
        UsageError: It is not a multiple of `divisor`.
    """
    if width % divisor:
        raise UsageError(
            f"the head {head} cannot be {width} wide: model.head_width must be a multiple of {divisor}{of}"
        )
