"""The name that timm has for a network: `chanattn.models.timm_names` read backwards."""

from functools import cache
from typing import Any

from chanattn import attention, models
from chanattn.models import Network, Slot
from chanattn.models.timm_names import NETWORKS

# What does not change the parameters or what they compute.
_FREE = {"parent", "name", "num_classes", "head", "slots", "dtype", "param_dtype"} | {
    *(
        "zero_init_residual",
        "stochastic_depth",
        "dropout",
        "image_size",
        "head_width",
        "head_options",
    ),
}


def timm_name(model: Network) -> str | None:
    """The name under which timm has a network; None if it has none such, or it has another head.

    Options with their default count as left out; a network of timm's that is described in yet another way
    (each option of a preset, in place of the preset) is not recognised.
    """
    if model.head != "classifier" or not model.num_classes:
        return None
    known = ((name, other) for name, other in _networks() if other.depths == model.depths)
    return next((name for name, other in known if same_network(model, other)), None)


@cache
def _networks() -> tuple[tuple[str, Network], ...]:
    return tuple((name, models.create(name)) for name in NETWORKS)


def same_network(one: Network, other: Network, *, attention: bool = True) -> bool:
    """Whether two networks compute the same function of the same parameters, up to the head.

    Args:
        one: A network.
        other: Another one.
        attention: Whether to compare the gate mechanisms too.
    """
    facts, others = _facts(one), _facts(other)
    if not attention:
        facts["gate"] = others["gate"] = ()
    return type(one) is type(other) and facts == others


def _facts(model: Network) -> dict[str, Any]:
    fields = {name: value for name, value in vars(model).items() if name not in _FREE}
    fields = {name: value for name, value in fields.items() if not name.startswith("_")}
    return fields | {"gate": _slot(model.slots.gate), "conv": _slot(model.slots.conv)}


def _slot(slot: Slot) -> tuple[Any, ...]:
    """Its name, place and options with their defaults; where there is none, it has no place."""
    if slot.name == "identity":
        return ()
    defaults = {name: spec.default for name, spec in attention.describe(slot.name).options.items()}
    return slot.name, slot.placement, slot.stages, defaults | dict(slot.options)
