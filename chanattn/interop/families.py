"""Which code of timm the names of a network come from.

Its three files for ResNets have networks that differ in strides, pools and places of the attention although
all arrays have the same shapes; their names tell them apart.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from chanattn.errors import UsageError
from chanattn.interop.names import mobile
from chanattn.models import (
    ARCHITECTURES,
    ConvNeXt,
    InvertedResidualNet,
    Network,
    NFNet,
    ResNet,
    VoVNet,
)

_NAMES = {
    "senet.py": re.compile(r"layer0\.|layer\d+\.\d+\.se_module\."),
    "byobnet.py": re.compile(r"stem\.conv\d+\.(conv|bn)\.|stages\.\d+\."),
    "regnet.py": re.compile(r"s\d+\.b\d+\."),
    "resnet.py": re.compile(r"(conv1|bn1)\.|layer\d+\.\d+\.(se|attn)\."),
}
"""How the names of each begin; names that none of them has (of a head, of other code) tell nothing."""

WORDS = {
    "resnet.py": frozenset[str](),
    "senet.py": frozenset({"layer0", "se_module", "last_linear"}),
    "byobnet.py": frozenset(
        {"stem", "stages", "conv1_1x1", "conv2_kxk", "conv3_1x1", "shortcut", "head"}
    ),
    "regnet.py": frozenset({"head"}),
    "vovnet.py": frozenset({"stages", "blocks", "head"}),
    "convnext.py": frozenset({"stages", "blocks", "head"}),
    "nfnet.py": frozenset({"stages", "head"}),
    "rexnet.py": frozenset({"features", "head"}),
    "efficientnet.py": frozenset({"conv_reduce", "conv_expand", "conv_head", "classifier"}),
}
"""Parts of names (between dots) by which each file differs from the first spelling in the tables."""

_FILES = {"vovnet.py": VoVNet, "convnext.py": ConvNeXt, "nfnet.py": NFNet}
_BLOCKS = ("block", "layers", "planes", "cardinality", "base_width")
_REST = ("stem", "stem_pool", "shortcut", "stride_first", "rectify_branch", "width_of_input")


def check_family(model: Network, names: Iterable[str]) -> None:
    """Refuse the names of networks that are built otherwise.

    Raises:
        UsageError: The network has another stem, pool or stride than those that have such names in timm.
    """
    if not isinstance(model, ResNet):
        return
    own, names = file_of(model), list(names)
    for family, pattern in _NAMES.items():
        first = next((name for name in names if pattern.match(name)), None)
        if first is None or family == own:
            continue
        rows = ", ".join(map(repr, _relatives(model, family)))
        raise UsageError(
            f"the PyTorch parameter {first!r} is of a network of timm's {family}, whose strides or pools"
            f" differ from those of this one (as in {own}), though the arrays may fit"
            + (f"; use the architecture {rows}" if rows else "")
        )


def file_of(model: Network) -> str:
    """The file of timm that has, or would have, the network."""
    if isinstance(model, ResNet):
        return _family(vars(model))
    if isinstance(model, InvertedResidualNet) and mobile.is_rexnet(model):
        return "rexnet.py"
    return next(
        (file for file, kind in _FILES.items() if isinstance(model, kind)), "efficientnet.py"
    )


def words(model: Network) -> frozenset[str]:
    """Parts of names of that file where the tables know several spellings."""
    name = file_of(model)
    after = name == "byobnet.py" and model.slots.gate.placement == "post"
    return WORDS[name] | ({"attn_last"} if after else {"attn"} if name == "byobnet.py" else set())


def _family(fields: Mapping[str, Any]) -> str:
    if fields["stem_pool"] == "ceil_max":
        return "senet.py"
    if fields["stem"].startswith("conv3") and not fields["width_of_input"]:
        return "regnet.py"
    tiered = fields["width_of_input"] or (
        (fields["stem"], fields["shortcut"]) == ("tiered", "projection")
    )
    return "byobnet.py" if tiered else "resnet.py"


def _relatives(model: ResNet, family: str) -> list[str]:
    """Rows of that family with the same blocks; of several, the one that is called like the network's own."""

    def like(fields: Mapping[str, Any], names: tuple[str, ...]) -> bool:
        return all(fields[name] == getattr(model, name) for name in names)

    rows = {
        name: {field: row.get(field, getattr(ResNet, field, None)) for field in (*_BLOCKS, *_REST)}
        for name, row in ARCHITECTURES.items()
        if "network" not in row and ("conv" in row) == (model.slots.conv.name != "identity")
    }
    own = [name for name, fields in rows.items() if like(fields, _BLOCKS + _REST)]
    found = [n for n, row in rows.items() if _family(row) == family and like(row, _BLOCKS)]
    namesakes = {f"legacy_{name}" for name in own} | {n.removeprefix("legacy_") for n in own}
    return [name for name in found if name in namesakes] or found
