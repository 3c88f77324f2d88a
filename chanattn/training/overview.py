"""What a run prints about its network before it begins."""

from collections.abc import Iterator
from typing import Any

import jax

PyTree = Any


def count_parameters(params: PyTree) -> int:
    """Number of trainable values."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def parameter_lines(params: PyTree) -> Iterator[str]:
    """A table: one line a top-level module with its number of parameters and their share, then the total."""
    total = count_parameters(params)
    width = max(map(len, (*params, "total")))
    for name, tree in params.items():
        number = count_parameters(tree)
        yield f"  {name:<{width}} {number:>12,} {number / total:>6.1%}"
    yield f"  {'total':<{width}} {total:>12,}"
