"""Backbones with two attention slots.

    model = models.create("resnet50", num_classes=10, attention={"name": "eca"})
    variables = model.init(key, images)                 # images: (N, H, W, 3)
    logits, endpoints = model.apply(variables, images)  # see `Network`

`num_classes=0` makes a backbone without a head, `head` chooses another one than a classifier.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from chanattn.errors import UsageError, did_you_mean
from chanattn.models import heads
from chanattn.models.architectures import ARCHITECTURES
from chanattn.models.blocks import SHORTCUTS
from chanattn.models.convnext import ConvNeXt
from chanattn.models.folding import folded, folding
from chanattn.models.inverted_residual import InvertedResidualNet
from chanattn.models.network import Network
from chanattn.models.nfnet import NFNet
from chanattn.models.resnet import ResNet
from chanattn.models.slots import Slot, Slots, resolve
from chanattn.models.timm_names import meaning
from chanattn.models.vovnet import VoVNet

if TYPE_CHECKING:  # the library does without
    from ml_collections import ConfigDict

__all__ = [
    "ARCHITECTURES",
    "ConvNeXt",
    "InvertedResidualNet",
    "NFNet",
    "Network",
    "ResNet",
    "Slot",
    "Slots",
    "VoVNet",
    "create",
    "folded",
    "folding",
    "from_config",
    "heads",
    "meaning",
    "names",
]


def __dir__() -> list[str]:
    """What is to be used."""
    return __all__


def names() -> list[str]:
    """Names of the architectures, in the order of the table."""
    return list(ARCHITECTURES)


def create(
    name: str,
    *,
    num_classes: int = 1000,
    head: str = "classifier",
    head_options: Mapping[str, Any] | None = None,
    attention: Mapping[str, Any] | str | None = None,
    shortcut: str = "",
    **arguments: Any,
) -> Network:
    """Build a named architecture.

    Args:
        name: Row of the table (`python -m chanattn.models` prints it), or a network of timm's ("seresnet50",
            "seresnet50.a1_in1k"; with `--timm` it prints these).
        num_classes: What the head tells apart; 0: a backbone without a head, whose outputs are the pooled
            features.
        head: A name of `chanattn.models.heads`; "": none, as with no classes.
        head_options: Fields of that head, where they shall not be its own.
        attention: A mechanism's name, or a mapping with its `name` and by choice `placement`, `stages`,
            `start` ("identity": the network predicts at the start what it does without attention) and the
            mechanism's options; None, or a mapping without a name: the one that the name implies
            (`chanattn.models.timm_names`), if it does. "identity": none.
        shortcut: Of a ResNet: zero_pad, projection, projection3x3, avg_pool or absent; empty: the
            architecture's own.
        **arguments: Further attributes of the network, e.g. `dropout`, `dtype`.

    Raises:
        UsageError: Unknown architecture, head, mechanism, option or argument, a mechanism that it cannot
            hold, or another one than its name implies.
    """
    architecture, attention, image_size = meaning(name, attention)
    row = dict(ARCHITECTURES[architecture])
    if image_size:
        row["image_size"] = image_size
    network: type[Network] = row.pop("network", ResNet)
    slots = resolve(attention, row.pop("conv", None))
    if shortcut:
        if network is not ResNet:
            raise UsageError(f"architecture {name!r} has no choice of shortcuts")
        if shortcut not in SHORTCUTS:
            raise UsageError(f"unknown shortcut {shortcut!r}; valid: {', '.join(SHORTCUTS)}")
        row["shortcut"] = shortcut
    _check_arguments(name, network, row, arguments)
    row |= {"head": head, "head_options": tuple(sorted((head_options or {}).items()))}
    return network(**row, num_classes=num_classes, slots=slots, **arguments)


def _check_arguments(
    name: str, network: type[Network], row: Mapping[str, Any], arguments: Mapping[str, Any]
) -> None:
    """Refuses what a network has no field for, and fields that are the architecture."""
    fields = {field.name for field in dataclasses.fields(network)}
    free = sorted(fields - row.keys() - {"name", "slots"})
    for argument in arguments:
        if argument in row:
            raise UsageError(
                f"{argument!r} is {row[argument]!r} in architecture {name!r}: choose another one, or build"
                f" chanattn.models.{network.__name__} yourself"
            )
        if argument not in free:
            raise UsageError(
                f"unknown argument {argument!r} of models.create({name!r}).{did_you_mean(argument, free)}"
                f" There are: {', '.join(free)}"
            )


def from_config(
    config: "ConfigDict",
    num_classes: int,
    precision: str,
    param_dtype: str,
    head: str = "classifier",
    head_options: Mapping[str, Any] | None = None,
) -> Network:
    """The network of a config's `model` section.

    Args:
        config: `model` of `chanattn.config`.
        num_classes: Outputs; the config's own `num_classes` only checks the data set.
        precision: Type of the activations, "float32" or "bfloat16".
        param_dtype: Type of the parameters.
        head: Where the config names none (`chanattn.tasks.network` knows that of the task).
        head_options: See `create`; the task knows them too.
    """
    return create(
        config.name,
        num_classes=num_classes,
        head=config.head or head,
        head_options=head_options,
        attention=config.attention.to_dict(),
        shortcut=config.shortcut,
        head_width=config.head_width,
        zero_init_residual=config.zero_init_residual,
        stochastic_depth=config.stochastic_depth,
        dropout=config.dropout,
        dtype=jnp.dtype(precision),
        param_dtype=jnp.dtype(param_dtype),
    )
