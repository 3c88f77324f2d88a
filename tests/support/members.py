"""Members of the family on small maps: how tests build them, and the variables that they give them."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from chanattn import attention

CHANNELS = 48
SHAPE = (3, 6, 5, CHANNELS)


def build(name: str, **options: Any) -> nn.Module:
    """A mechanism; of the conv slot, with as many filters as the maps have channels."""
    if attention.describe(name).slot == "conv":
        options.setdefault("filters", CHANNELS)
    return attention.create(name, **options)


@cache
def feature_map(*shape: int) -> jax.Array:
    """Features of a shape, most of them positive."""
    return jax.random.normal(jax.random.key(0), shape) + 0.5


def random_like(shapes: Any) -> Any:
    """Random values for all variables, so that no zero initialisation hides anything.

    The scales of EncNet's codewords stay negative and small, as they start: with others its softmax picks one
    codeword at every position, and no other gets a gradient.
    """
    # A seed that leaves every hidden layer some units that are not dead.
    rng = np.random.default_rng(2)

    def draw(path: Any, leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape) * 0.5
        where = jax.tree_util.keystr(path, simple=True, separator="/")
        if where.endswith(("var", "temperature")):
            values = abs(values) + 0.1
        elif where.endswith("encoding/scale"):
            values = -0.1 * abs(values)
        return jax.device_put(values.astype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(draw, shapes)


@cache
def variables_of(name: str, **options: Any) -> Any:
    """Random variables of a mechanism for maps of `SHAPE`."""
    module = build(name, **options)
    return random_like(jax.eval_shape(module.init, jax.random.key(1), feature_map(*SHAPE)))
