"""Heads: from the endpoints of a backbone to what a task needs.

A new one is one file and one line in `_HEADS`. A head is a module of the signature of `Head`. Its parameters
lie beside those of the backbone, under its name, so that every head finds the same backbone below it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax

from chanattn.errors import UsageError, did_you_mean
from chanattn.models.heads.bisenet import BiSeNet
from chanattn.models.heads.classifier import Classifier
from chanattn.models.heads.danet import DANet
from chanattn.models.heads.encnet import EncNet
from chanattn.models.heads.fcos import FCOS, Levels
from chanattn.models.heads.fpn import FPN
from chanattn.models.heads.lstm import LSTM
from chanattn.models.heads.parts import DenseHead, MapHead, Strides, WithAuxiliary
from chanattn.models.heads.pyramid import FeaturePyramid
from chanattn.models.heads.unet import UNet
from chanattn.models.slots import Slot

__all__ = [
    "FCOS",
    "FPN",
    "LSTM",
    "BiSeNet",
    "Classifier",
    "DANet",
    "DenseHead",
    "EncNet",
    "FeaturePyramid",
    "Head",
    "Levels",
    "MapHead",
    "UNet",
    "WithAuxiliary",
    "check",
    "check_use",
    "create",
    "has_auxiliary",
    "is_dense",
    "mechanisms",
    "names",
    "register",
]


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
        """The outputs, any pytree; in training a `WithAuxiliary`, if there are outputs for it alone.

        Args:
            endpoints: Of the backbone, see `chanattn.models.Network`, and the pictures, `image`; where sizes
                differ, a head resizes to the shape of the other map, because a size need not be a multiple of
                a stride.
            size: Height and width of the pictures.
            drop: The network's dropout, for what the last layer is given.
            train: Whether norms use the statistics of the batch.

        Heads of some tasks take further arguments by name (`Task.inputs`).
        """
        ...


#: Name -> what makes it of `num_classes`, `dtype` (of activations), `param_dtype` and `name`; of `width`,
#: `neck` and `strides`, if it has fields of these names, see `MapHead`; and of the options that a task gives.
_HEADS: dict[str, type[nn.Module]] = {
    "classifier": Classifier,
    "fpn": FPN,
    "bisenet": BiSeNet,
    "encnet": EncNet,
    "danet": DANet,
    "unet": UNet,
    "lstm": LSTM,
    "fcos": FCOS,
}
#: Options of a head as sorted pairs, so that the network that has them is hashable.
Options = tuple[tuple[str, Any], ...]


def names() -> list[str]:
    """Names of the heads, sorted."""
    return sorted(_HEADS)


def register(name: str, head: type[nn.Module]) -> None:
    """Adds a head that lives elsewhere, so that `config.model.head` can name it.

    Args:
        name: Of the head, and of its parameters in the network.
        head: Called with `num_classes`, `dtype`, `param_dtype` and `name`, and with those of `width`
            (`config.model.head_width`), `neck` (a `Slot`) and `strides` that are its fields; with what
            `Task.head_options` gives; a module like `Head`.

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


def check_use(
    name: str, *, width: int, strides: Strides, attention: Slot, options: Options = ()
) -> None:
    """Refuses a head that a network cannot have, or that leaves nothing for what is asked of it.

    Args:
        name: Of a head, or "": there is none.
        width: `head_width` of the network.
        strides: Of its endpoints.
        attention: The mechanism of its gate slot.
        options: `head_options` of the network.

    Raises:
        UsageError: There is no head of that name; it has no width to choose, or not this one; it has no such
            option, or not this value; the network has too few stages for it; there is no place for attention
            in it, or not for this mechanism; or attention sits before the global mean, which it does not look
            at.
    """
    if name:
        check(name)
    called = f"the head {name}" if name else "a network without a head"
    if width and not _has(name, "width"):
        raise UsageError(
            f"{called} has no width to choose: leave model.head_width at 0, or take one of "
            f"{_listed('width')}"
        )
    unknown = [option for option, _ in options if not _has(name, option)]
    if unknown:
        raise UsageError(f"{called} has no option {unknown[0]!r}")
    if _has(name, "strides"):
        neck = {"neck": attention} if attention.placement == "neck" and _has(name, "neck") else {}
        fields = {"num_classes": 1, "width": width, "strides": strides, **neck, **dict(options)}
        _HEADS[name](**fields, parent=None)
    if attention.placement == "neck" and not _has(name, "neck"):
        raise UsageError(
            f"attention cannot be placed at 'neck': {called} has no such place; these heads have: "
            f"{_listed('neck')}"
        )
    if attention.placement == "head" and attention.name != "identity" and _has(name, "neck"):
        raise UsageError(
            f"attention {attention.name!r} cannot be placed at 'head': that is before the global mean, at"
            f" which {called} does not look; place it at 'neck', or at 'stage_end' of the last stage"
        )


def _has(name: str, field: str) -> bool:
    return bool(name) and field in _fields(_HEADS[name])


def _fields(head: type[nn.Module]) -> set[str]:
    return {field.name for field in dataclasses.fields(head)}


def _listed(field: str) -> str:
    return ", ".join(name for name in names() if _has(name, field))


def mechanisms(name: str, neck: Slot | None) -> tuple[Slot, ...]:
    """The mechanisms in a head.

    Args:
        name: Of the head, or "".
        neck: The mechanism that is put into its places; None: they have the head's own.
    """
    if neck is not None or not name:
        return () if neck is None else (neck,)
    return tuple(getattr(_HEADS[name], "mechanisms", {}).values())


def has_auxiliary(name: str) -> bool:
    """Whether a head, or "", gives a `WithAuxiliary` in training."""
    return bool(name) and getattr(_HEADS[name], "has_auxiliary", False)


def is_dense(name: str) -> bool:
    """Whether a head gives logits of every pixel."""
    return issubclass(_HEADS[name], DenseHead)


def create(
    name: str,
    *,
    num_classes: int,
    dtype: Any,
    param_dtype: Any,
    width: int = 0,
    neck: Slot | None = None,
    strides: Strides = (),
    options: Options = (),
) -> nn.Module:
    """The head, as a submodule of the network that is being built.

    Args:
        name: Of a head.
        num_classes: What it tells apart.
        dtype: Type of the activations; outputs are float32.
        param_dtype: Type of the parameters.
        width: See `MapHead`; so is the rest.
        neck: The mechanism in its places for attention.
        strides: Of the endpoints.
        options: Further fields of the head.
    """
    head = _HEADS[name]
    further = {"width": width, "neck": neck, "strides": strides}
    taken = {field: value for field, value in further.items() if field in _fields(head)}
    taken |= dict(options)
    return head(num_classes=num_classes, dtype=dtype, param_dtype=param_dtype, name=name, **taken)
