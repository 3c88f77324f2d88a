"""Controls: what attention must beat before its gain counts as attention's.

    constant    w = v, the same number for all               does any scaling of the branch help?
    static      w_c = a_c, learned                           does one factor a channel help?
    bias_only   w_c = sigmoid(b_c), learned                  the same, through the gate of the family
    random      w_c drawn once, never learned                does breaking the symmetry of channels help?

and y = x w. None looks at its input: the gap between one of them and, say, `se` is what the dependence on
the input is worth. `bias_only` is any of the mechanisms with its input ablated; it starts where SE starts, at
0.5. `static` is LayerScale (Touvron, Cord, Sablayrolles, Synnaeve, Jégou; ICCV 2021; arXiv:2103.17239),
which starts between 0.1 and 1e-6 there (`init_scale`), and at 1, the identity, here.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.functional.select import fixed_numbers
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.errors import UsageError

_NOBODY = "none: a control"


def _apply(module: nn.Module, x: jax.Array, weights: jax.Array) -> jax.Array:
    """X times weights (C,), which are shown once for every picture, as those of the other mechanisms are."""
    shown = jnp.broadcast_to(weights.astype(jnp.float32), (x.shape[0], x.shape[-1]))
    used = sow_weights(module, shown)
    return x * over_space(used, x)


@register(
    "constant",
    citation=_NOBODY,
    axes=("none", "none", "a constant"),
    parameters="0",
)
class Constant(Attention):
    """One fixed number for all channels: attention that has no effect but its mean.

    Attributes:
        value: The weight; 0.5 is what a sigmoid starts with.
    """

    value: float = 0.5

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise UsageError(f"constant: value must be finite, not {self.value}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Scale (N, H, W, C)."""
        x = self.feature_map(x)
        return _apply(self, x, jnp.full(x.shape[-1:], self.value))


@register(
    "static",
    year=2021,
    axes=("none", "none", "a learned factor"),
    identity_at_init=True,
    identity_if=lambda module: module.init_scale == 1,
    citation="Touvron, Cord, Sablayrolles, Synnaeve, Jégou. Going Deeper with Image Transformers. ICCV 2021. "
    "arXiv:2103.17239 (LayerScale)",
    parameters="C",
)
class Static(Attention):
    """A learned factor for every channel, whatever the input.

    The identity at the start, unless `init_scale` is changed.

    Attributes:
        init_scale: Where the factors start.
    """

    init_scale: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.init_scale):
            raise UsageError(f"static: init_scale must be finite, not {self.init_scale}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Scale the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        start = nn.initializers.constant(self.init_scale)
        return _apply(self, x, self.param("scale", start, x.shape[-1:], self.param_dtype))


@register(
    "random",
    citation=_NOBODY,
    axes=("none", "none", "a fixed random number"),
    order_matters=True,
    parameters="0",
)
class Random(Attention):
    """A fixed random weight in (0, 1) for every channel, which nothing learns.

    Every place in a network has weights of its own, which depend on `weight_seed` and on the path of the
    module alone: neither on the seed of the run nor on the process. They are no state: checkpoints do not
    hold them.

    Attributes:
        weight_seed: Other weights for another number, from 0.
    """

    weight_seed: int = 0

    def __post_init__(self) -> None:
        if self.weight_seed < 0:
            raise UsageError(f"random: weight_seed must not be negative, not {self.weight_seed}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Scale the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        weights = fixed_numbers(x.shape[-1], "/".join(self.path), self.weight_seed)
        return _apply(self, x, jnp.asarray(weights))


class Bias(nn.Module):
    """z = b for every picture, whatever it shows. C parameters, zero at the start."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, pictures: int, channels: int) -> jax.Array:
        """The logits (N, C)."""
        b = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        return jnp.broadcast_to(b.astype(jnp.float32), (pictures, channels))


@register(
    "bias_only",
    citation=_NOBODY,
    axes=("none", "a bias", "sigmoid"),
    parameters="C",
    identity_if=lambda module: gates.is_open_at(gates.of(module), 0.0),
)
class BiasOnly(Attention):
    """A learned logit for every channel, whatever the input: attention that is blind.

    0.5 at the start, where all logits are zero.

    Attributes:
        gate: A soft or hard gate of `functional.gate`.
    """

    gate: str | gates.Gate = "sigmoid"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Scale the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        z = Bias(self.param_dtype, name="mix")(x.shape[0], x.shape[-1])
        w = self.weigh(z, train)
        return x * over_space(w, x)
