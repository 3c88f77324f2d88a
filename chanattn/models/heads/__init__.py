"""Heads: from the endpoints of a backbone to what a task needs.

A new one is one file and one line in `_HEADS`. A head is a module of the signature of `Head`. Its parameters
lie beside those of the backbone, under its name, so that every head finds the same backbone below it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax

from chanattn.errors import UsageError, did_you_mean
from chanattn.models.heads.classifier import Classifier
from chanattn.models.heads.fpn import FPN

__all__ = ["FPN", "Classifier", "Head", "check", "create", "names", "register"]


class Head(Protocol):
    """What a network calls on its endpoints."""

    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> Any:
        """The outputs, any pytree.

        Args:
            endpoints: Of the backbone, see `chanattn.models.Network`; where their sizes differ, a head
                resizes to the shape of the other map, because a size need not be a multiple of a stride.
            size: Height and width of the pictures.
            drop: The network's dropout, for what the last layer is given.
            train: Whether norms use the statistics of the batch.

        Heads of some tasks take further arguments by name (`Task.inputs`).
        """
        ...


#: Name -> what makes it of `num_classes`, `dtype` (of activations), `param_dtype` and `name`.
_HEADS: dict[str, type[nn.Module]] = {"classifier": Classifier, "fpn": FPN}


def names() -> list[str]:
    """Names of the heads, sorted."""
    return sorted(_HEADS)


def register(name: str, head: type[nn.Module]) -> None:
    """Adds a head that lives elsewhere, so that `config.model.head` can name it.

    Args:
        name: Of the head, and of its parameters in the network.
        head: Called with `num_classes`, `dtype`, `param_dtype` and `name`; returns a module like `Head`.

    Raises:
        ValueError: Another head has that name.
    """
    known = _HEADS.get(name, head)
    if (known.__module__, known.__qualname__) != (head.__module__, head.__qualname__):
        raise ValueError(f"there is a head called {name!r} already")
    _HEADS[name] = head


def check(name: str) -> None:
    """Raises UsageError if there is no head of that name."""
    if name not in _HEADS:
        raise UsageError(
            f"unknown head {name!r}; there are: {', '.join(names())}.{did_you_mean(name, names())}"
        )


def create(name: str, *, num_classes: int, dtype: Any, param_dtype: Any) -> nn.Module:
    """The head, as a submodule of the network that is being built.

    Args:
        name: Of a head.
        num_classes: What it tells apart.
        dtype: Type of the activations; outputs are float32.
        param_dtype: Type of the parameters.
    """
    return _HEADS[name](num_classes=num_classes, dtype=dtype, param_dtype=param_dtype, name=name)
