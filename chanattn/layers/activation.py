"""Activation functions by name."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax

from chanattn.errors import UsageError, did_you_mean

Activation = Callable[[jax.Array], jax.Array]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": nn.relu,
    "relu6": nn.relu6,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "gelu_exact": partial(nn.gelu, approximate=False),
    "hard_swish": nn.hard_swish,
}


def activation(name: str) -> Activation:
    """The activation called `name`: relu, relu6, silu, gelu (tanh form), gelu_exact or hard_swish.

    Raises:
        UsageError: The name is unknown.
    """
    if name not in _ACTIVATIONS:
        valid = sorted(_ACTIVATIONS)
        raise UsageError(
            f"unknown activation {name!r}; valid: {', '.join(valid)}.{did_you_mean(name, valid)}"
        )
    return _ACTIVATIONS[name]
