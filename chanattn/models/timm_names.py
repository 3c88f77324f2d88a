"""Networks of timm by its names: the architecture, the attention, and the size of the pictures.

The one table of this: `models.create`, the conversion of weights in both directions, exports and
`python -m chanattn.models --timm` read it.

    timm                  architecture           attention
    seresnet50, ...       resnet50, ...          se, rounded as timm does
    ecaresnet26t, ...     resnet26t, ...         eca
    gcresnet50t, ...      resnet50t_strided      gc at "mid"
    legacy_seresnet50     legacy_resnet50        se; another network than seresnet50
    resnetrs50, senet154  of the same name       se
    resnest50d, ...       of the same name       built in
    efficientnet_b0, ...  of the same name       se at "mid", see `_MOBILE`

Two kinds of names. One that is no architecture of ours (`seresnet50`) stands for architecture and attention
both: another mechanism beside it is a contradiction, and refused. One that is an architecture too
(`senet154`, `efficientnet_b0`) has the attention of timm's network where none is chosen; any that is chosen
takes its place, and `identity` leaves the slot empty. Names of CIFAR networks (`resnet20`) are ours alone.
A tag of weights (`seresnet50.a1_in1k`) changes nothing of the architecture.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from chanattn.errors import UsageError, did_you_mean
from chanattn.models.architectures import ARCHITECTURES
from chanattn.models.convnext import CONVNEXTS
from chanattn.models.ghost import GHOSTS
from chanattn.models.mobile import MOBILE
from chanattn.models.mobile_searched import SEARCHED
from chanattn.models.nfnet_rows import NFNETS
from chanattn.models.regnet import REGNETS
from chanattn.models.rexnet import REXNETS
from chanattn.models.timm_catalogue import CATALOGUE

TIMM_SE = {"name": "se", "rounding": "timm"}
RS_SE = TIMM_SE | {"reduction": 4}
ECA = {"name": "eca"}
ESE = {"name": "ese"}
MID = {"placement": "mid"}
GC = {"name": "gc", "preset": "timm"} | MID
BAT = {"name": "bat", "preset": "timm", "block_size": 8} | MID
OF_INPUT = {"name": "se", "reduction": 4, "reduce_from": "block_input"} | MID
EFFICIENT_SE = OF_INPUT | {"act": "silu"}
REGNET_SE = OF_INPUT | {"rounding": "nearest"}
NF_SE = TIMM_SE | {"reduction": 2, "gain": 2.0}
NF_ECA = ECA | {"gain": 2.0}
REGNETZ_SE = TIMM_SE | {"reduction": 4} | MID
GC_OF_INPUT = GC | {"fuse": "mul", "reduction": 4, "reduce_from": "block_input", "act": "silu"}
HARD_SE = {"name": "se", "reduction": 4, "gate": "hard_sigmoid"} | MID
MOBILE_SE = HARD_SE | {"rounding": "mobile"}
MIX_SE = OF_INPUT | {"reduction": 2, "act": "silu"}
GHOST_SE = HARD_SE | {"rounding": "mobile", "divisor": 4}
REX_SE = {"name": "se", "reduction": 12, "use_norm": True} | MID
REX8_SE = REX_SE | {"rounding": "mobile"}
REX16_SE = REX8_SE | {"divisor": 16}
FBNET_SE = OF_INPUT | {"rounding": "fbnet", "gate": "hard_sigmoid", "act": "hard_swish"}


class TimmNetwork(NamedTuple):
    """What a name of timm stands for.

    Attributes:
        architecture: A row of `ARCHITECTURES`.
        attention: The mechanism of the gate slot, with its options and placement; None: there is none.
        image_size: Side of the pictures; 0: that of the row.
    """

    architecture: str
    attention: Mapping[str, Any] | None = None
    image_size: int = 0


def _with(prefix: str, attention: Mapping[str, Any] | None, *rows: str) -> dict[str, TimmNetwork]:
    return {f"{prefix}{row}": TimmNetwork(row, attention) for row in rows}


# Without channel attention, or with one that the architecture has built in.
_PLAIN = (
    *("resnet10t", "resnet14t", "resnet18", "resnet18d", "resnet26", "resnet26d", "resnet26t"),
    *("resnet34", "resnet34d", "resnet50", "resnet50c", "resnet50d", "resnet50s", "resnet50t"),
    *("resnet101", "resnet101c", "resnet101d", "resnet101s", "resnet152", "resnet152c"),
    *("resnet152d", "resnet152s", "resnet200", "resnet200d"),
    *("resnetaa34d", "resnetaa50", "resnetaa50d", "resnetaa101d"),
    *("resnetblur18", "resnetblur50", "resnetblur50d", "resnetblur101d"),
    *("resnext50_32x4d", "resnext50d_32x4d", "resnext101_32x4d", "resnext101_32x8d"),
    *("resnext101_32x16d", "resnext101_32x32d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2", "resnet32ts", "resnet33ts", "resnext26ts"),
    *("vovnet39a", "vovnet57a"),
    *("resnest14d", "resnest26d", "resnest50d", "resnest101e", "resnest200e", "resnest269e"),
    *("resnest50d_4s2x40d", "resnest50d_1s4x24d"),
    *("skresnet18", "skresnet34", "skresnet50", "skresnet50d", "skresnext50_32x4d"),
)

_NF_RESNETS = ("nf_resnet26", "nf_resnet50", "nf_resnet101")

# How the names of mobile networks with attention begin; they are the rows' names, too.
_MOBILE: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"(tf_)?efficientnet(v2)?_(?!lite|e[sml])|tinynet|test_eff", EFFICIENT_SE),
    (r"semnasnet|mnasnet_small", OF_INPUT),
    (r"(tf_)?mobilenetv3_(?!.*minimal)", MOBILE_SE),
    (r"lcnet", HARD_SE),
    (r"hardcore", MOBILE_SE),
    (r"(tf_)?mixnet", MIX_SE),
    (r"fbnetv3", FBNET_SE),
)


def _of_mobile(row: str) -> Mapping[str, Any] | None:
    return next((attention for begin, attention in _MOBILE if re.match(begin, row)), None)


def _of_regnet(row: str) -> Mapping[str, Any] | None:
    """SE in all but X; in V before a norm; timm's own Z have the width that is usual in byobnet.py."""
    if row.startswith("regnetx"):
        return None
    if re.match(r"regnetz_[bcde]", row):
        return REGNETZ_SE
    if row.startswith("regnety"):
        return REGNET_SE
    return REGNET_SE | {"act": "silu"} | ({"placement": "pre_norm"} if row[6] == "v" else {})


NETWORKS: dict[str, TimmNetwork] = {
    **_with("", None, *_PLAIN),
    # resnet.py
    **_with(
        *(
            "se",
            TIMM_SE,
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet50t",
            "resnet152",
            "resnet152d",
        ),
        *("resnet200d", "resnet269d", "resnetaa50d", "resnext26d_32x4d", "resnext26t_32x4d"),
        *("resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101d_32x8d"),
        *("resnext101_64x4d", "resnextaa101d_32x8d", "resnextaa201d_32x8d", "resnet101"),
    ),
    **_with(
        *("eca", ECA, "resnet26t", "resnet50d", "resnet200d", "resnetlight", "resnext26t_32x4d"),
        "resnext50t_32x4d",
    ),
    "ecaresnet50t": TimmNetwork("resnet50t", ECA, 256),
    "ecaresnet101d": TimmNetwork("resnet101d", ECA, 224),
    "ecaresnet269d": TimmNetwork("resnet269d", ECA, 320),
    **_with("", RS_SE, *(f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420))),
    **_with("", TIMM_SE, "senet154"),
    # senet.py
    **{
        f"legacy_se{row}": TimmNetwork(f"legacy_{row}", {"name": "se"})
        for row in (
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
            *("resnext26_32x4d", "resnext50_32x4d", "resnext101_32x4d"),
        )
    },
    "legacy_senet154": TimmNetwork("legacy_senet154", {"name": "se"}),
    # byobnet.py
    **_with("se", TIMM_SE | MID, "resnet33ts", "resnext26ts"),
    **_with("eca_", ECA | MID, "resnet33ts", "resnext26ts"),
    **_with("gc", GC, "resnet33ts", "resnext26ts", "resnext50ts"),
    "gcresnet50t": TimmNetwork("resnet50t_strided", GC),
    **_with("bat_", BAT, "resnext26ts"),
    # regnet.py, byobnet.py
    **{row: TimmNetwork(row, _of_regnet(row)) for row in REGNETS},
    # convnext.py
    **_with("", {"name": "grn"}, *CONVNEXTS),
    # nfnet.py
    **{row: TimmNetwork(row, NF_SE) for row in NFNETS if re.match("(dm_)?nfnet_f", row)},
    **_with("", NF_SE | {"reduction": 4}, "nfnet_l0", "test_nfnet"),
    **_with("eca_", NF_ECA, *(f"nfnet_l{n}" for n in range(4))),
    **_with("", NF_SE | MID, *(f"nf_regnet_b{n}" for n in range(6))),
    **_with("", None, *_NF_RESNETS),
    **{
        f"nf_{kind}{row.removeprefix('nf_')}": TimmNetwork(row, attention, 224)
        for kind, attention in (("se", NF_SE | {"reduction": 16}), ("eca", NF_ECA))
        for row in _NF_RESNETS
    },
    # vovnet.py
    **_with("ese_", ESE, *(f"vovnet{kind}" for kind in ("19b_dw", "19b_slim", "19b_slim_dw"))),
    **_with("ese_", ESE, "vovnet39b", "vovnet57b", "vovnet99b"),
    **_with("eca_", ECA, "vovnet39b"),
    # efficientnet.py, mobilenetv3.py
    **{row: TimmNetwork(row, _of_mobile(row)) for row in MOBILE},
    **{row: TimmNetwork(row, _of_mobile(row)) for row in SEARCHED},
    # ghostnet.py, repghost.py, rexnet.py
    **_with("", GHOST_SE, *GHOSTS),
    **{row: TimmNetwork(row, REX8_SE if "netr" in row else REX_SE) for row in REXNETS},
    "rexnetr_300": TimmNetwork("rexnetr_300", REX16_SE),
    "gc_efficientnetv2_rw_t": TimmNetwork("efficientnetv2_rw_t", GC_OF_INPUT),
}

_TAG = re.compile(r"[A-Za-z0-9_]+")  # as timm's: a1_in1k, fb_swsl_ig1b_ft_in1k
_NONE = {"name": "identity"}


class Meaning(NamedTuple):
    """What a name, with the attention that was chosen beside it, stands for.

    Attributes:
        architecture: A row of `ARCHITECTURES`.
        attention: The mechanism of the gate or the conv slot, "identity" for none, and its options.
        image_size: Side of the pictures; 0: that of the row.
    """

    architecture: str
    attention: dict[str, Any]
    image_size: int


def is_known(name: str) -> bool:
    """Whether it is the name of an architecture, or one of timm's, with a tag or without."""
    return name.partition(".")[0] in ARCHITECTURES.keys() | NETWORKS.keys()


def meaning(name: str, chosen: Mapping[str, Any] | str | None = None) -> Meaning:
    """Architecture and attention of a name.

    Args:
        name: A row of `ARCHITECTURES`, or a name of timm with or without the tag of its weights.
        chosen: A mechanism, or a mapping with options and by choice its `name`. Without one (None or ""), the
            options are of the attention that the name implies.

    Raises:
        UsageError: The name is unknown, its tag is none, or it implies another attention than the one chosen.
    """
    base, dot, tag = name.partition(".")
    if not is_known(name):
        raise unknown(name)
    if dot and base not in NETWORKS:
        raise UsageError(
            f"{base!r} is no network of timm's, and has no weights with tags: leave out {dot + tag!r}"
        )
    if dot and not _TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} is no tag of timm's weights; write {base!r}, or {base}.a1_in1k")
    row, own, size = NETWORKS.get(base) or TimmNetwork(base)
    if not isinstance(chosen, str | Mapping | None):
        raise UsageError(
            "attention is a mechanism's name, or a mapping with its name and options such as"
            f" {{'name': 'se', 'reduction': 8}}, not {chosen!r}"
        )
    given = {"name": chosen} if isinstance(chosen, str) else dict(chosen or {})
    mechanism = given.get("name") or ""
    implied = dict(own or _NONE)
    if mechanism and (base == row or own is None):
        return Meaning(row, given, size)
    if mechanism and mechanism != implied["name"]:
        raise UsageError(
            f"{base!r} is the architecture {row!r} with the attention {implied['name']!r}, not {mechanism!r}:"
            f" write {row!r} to choose one, or leave the attention's name empty"
        )
    options = {k: v for k, v in given.items() if v not in (None, "", ())}
    return Meaning(row, implied | options, size)


def of_timm(name: str) -> str | None:
    """The file of timm that has such a model with channel attention; None if none has."""
    base = name.partition(".")[0]
    return next((file for file, names in CATALOGUE.items() if base in names), None)


def unknown(name: str) -> UsageError:
    """The error on a name that is no architecture: near misses, and whether timm has such a network."""
    base = name.partition(".")[0]
    valid = [*ARCHITECTURES, *(other for other in NETWORKS if other not in ARCHITECTURES)]
    if file := of_timm(name):
        return UsageError(
            f"architecture {base!r} is one of timm's ({file}.py) that is not here yet;"
            " `python -m chanattn.models --timm` lists those that are"
        )
    return UsageError(
        f"unknown architecture {name!r}; `python -m chanattn.models` lists them, with --timm by timm's names."
        f"{did_you_mean(base, valid)}"
    )


def missing() -> dict[str, dict[str, bool]]:
    """Timm's models with channel attention that are not here, as `CATALOGUE`."""
    left = {
        file: {name: weights for name, weights in names.items() if name not in NETWORKS}
        for file, names in CATALOGUE.items()
    }
    return {file: names for file, names in left.items() if names}
