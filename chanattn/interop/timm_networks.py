"""Networks of timm by its names, as (architecture, attention) of this project."""

import re
from typing import Any

from chanattn import attention, models
from chanattn.models import Network, Slot
from chanattn.models.mobile import MOBILE

TIMM_SE = {"name": "se", "rounding": "timm"}
ECA = {"name": "eca"}
ESE = {"name": "ese"}
GC = {"name": "gc", "preset": "timm"}
MID = {"placement": "mid"}
OF_INPUT = {"name": "se", "reduction": 4, "reduce_from": "block_input"} | MID
EFFICIENT_SE = OF_INPUT | {"act": "silu"}
HARD_SE = {"name": "se", "reduction": 4, "gate": "hard_sigmoid"} | MID
MOBILE_SE = HARD_SE | {"rounding": "mobile"}
FBNET_SE = OF_INPUT | {"rounding": "mobile", "gate": "hard_sigmoid", "act": "hard_swish"}

# Networks of timm whose name is the backbone's; those with attention follow.
_BACKBONES = (
    *("resnet18", "resnet34", "resnet26", "resnet50", "resnet101", "resnet152"),
    *("resnet18d", "resnet34d", "resnet26d", "resnet50d", "resnet101d", "resnet152d"),
    *("resnet26t", "resnet50t", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext50d_32x4d", "resnext101_32x4d", "resnext101_32x8d"),
    *("resnext101_64x4d", "vovnet39a"),
    *("resnest14d", "resnest26d", "resnest50d", "resnest101e", "resnest200e", "resnest269e"),
    *("resnest50d_4s2x40d", "resnest50d_1s4x24d"),
    *("skresnet18", "skresnet34", "skresnet50", "skresnet50d", "skresnext50_32x4d"),
)
_SE_ON = (
    *("resnet18", "resnet34", "resnet50", "resnet50t", "resnet101", "resnet152", "resnet152d"),
    *("resnext26d_32x4d", "resnext26t_32x4d", "resnext50_32x4d", "resnext101_32x4d"),
    *("resnext101_32x8d", "resnext101d_32x8d", "resnext101_64x4d"),
)
_ECA_ON = (
    *("resnet26t", "resnet50d", "resnet50t", "resnet101d", "resnet200d", "resnetlight"),
    *("resnet269d", "resnext26t_32x4d", "resnext50t_32x4d"),
)
_LEGACY_SE_ON = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext26_32x4d", "resnext50_32x4d", "resnext101_32x4d"),
)
_MOBILE = (
    (r"(tf_)?efficientnet(v2)?_(?!lite|e[sml])|tinynet", EFFICIENT_SE),
    (r"semnasnet|mnasnet_small", OF_INPUT),
    (r"(tf_)?mobilenetv3_(?!.*minimal)", MOBILE_SE),
    (r"lcnet", HARD_SE),
    (r"fbnetv3", FBNET_SE),
)
"""How the names of mobile networks with attention begin; they are the backbone's names, too."""


def _of_mobile(name: str) -> Any:
    return next((attention for begin, attention in _MOBILE if re.match(begin, name)), None)


NETWORKS: dict[str, tuple[str, Any]] = {
    **{name: (name, None) for name in _BACKBONES},
    **{f"se{name}": (name, TIMM_SE) for name in _SE_ON},
    **{f"eca{name}": (name, ECA) for name in _ECA_ON},
    **{f"legacy_se{name}": (f"legacy_{name}", "se") for name in _LEGACY_SE_ON},
    **{f"resnetrs{n}": (f"resnetrs{n}", TIMM_SE | {"reduction": 4}) for n in (50, 101, 152)},
    **{f"ese_vovnet{kind}": (f"vovnet{kind}", ESE) for kind in ("19b_dw", "39b", "99b")},
    "senet154": ("senet154", TIMM_SE),
    "legacy_senet154": ("legacy_senet154", "se"),
    "seresnet33ts": ("resnet33ts", TIMM_SE | MID),
    "seresnext26ts": ("resnext26ts", TIMM_SE | MID),
    "eca_resnet33ts": ("resnet33ts", ECA | MID),
    "gcresnet33ts": ("resnet33ts", GC | MID),
    "gcresnet50t": ("resnet50t_strided", GC | MID),
    "gcresnext26ts": ("resnext26ts", GC | MID),
    "gcresnext50ts": ("resnext50ts", GC | MID),
    **{name: (name, _of_mobile(name)) for name in MOBILE},
}


# What does not change the parameters or what they compute.
_FREE = {"parent", "name", "num_classes", "head", "slots", "dtype", "param_dtype"} | {
    *("zero_init_residual", "stochastic_depth", "dropout"),
}


def timm_name(model: Network) -> str | None:
    """The name under which timm has a network; None if it has none such, or it has another head.

    Options with their default count as left out; a network of timm's that is described in yet another way
    (each option of a preset, in place of the preset) is not recognised.
    """
    if model.head != "classifier" or not model.num_classes:
        return None
    own = _facts(model)
    rows = {row: models.create(row) for row, _ in NETWORKS.values()}
    for name, (row, chosen) in NETWORKS.items():
        if type(rows[row]) is not type(model) or rows[row].depths != model.depths:
            continue
        if _facts(models.create(row, attention=chosen)) == own:
            return name
    return None


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
