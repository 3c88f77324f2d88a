"""Networks of timm by its names: (architecture, attention) of this project; and how to count deep ones."""

from typing import Any

from chanattn.models import Network, ResNet

TIMM_SE = {"name": "se", "rounding": "timm"}
ECA = {"name": "eca"}
ESE = {"name": "ese"}
GC = {"name": "gc", "preset": "timm"}
MID = {"placement": "mid"}
EFFICIENT_SE = {"name": "se", "reduction": 4, "reduce_from": "block_input", "act": "silu"} | MID

# Networks of timm whose name is the backbone's; those with attention follow.
BACKBONES = (
    *("resnet18", "resnet34", "resnet26", "resnet50", "resnet101", "resnet152"),
    *("resnet18d", "resnet34d", "resnet26d", "resnet50d", "resnet101d", "resnet152d"),
    *("resnet26t", "resnet50t", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext50d_32x4d", "resnext101_32x4d", "resnext101_32x8d"),
    *("resnext101_64x4d", "vovnet39a", "mobilenetv2_100"),
    *("resnest14d", "resnest26d", "resnest50d", "resnest101e", "resnest200e", "resnest269e"),
    *("resnest50d_4s2x40d", "resnest50d_1s4x24d"),
    *("skresnet18", "skresnet34", "skresnet50", "skresnet50d", "skresnext50_32x4d"),
)
SE_ON = (
    *("resnet18", "resnet34", "resnet50", "resnet50t", "resnet101", "resnet152", "resnet152d"),
    *("resnext26d_32x4d", "resnext26t_32x4d", "resnext50_32x4d", "resnext101_32x4d"),
    *("resnext101_32x8d", "resnext101d_32x8d", "resnext101_64x4d"),
)
ECA_ON = (
    *("resnet26t", "resnet50d", "resnet50t", "resnet101d", "resnet200d", "resnetlight"),
    *("resnet269d", "resnext26t_32x4d", "resnext50t_32x4d"),
)
LEGACY_SE_ON = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext26_32x4d", "resnext50_32x4d", "resnext101_32x4d"),
)
IMAGENET: dict[str, tuple[str, Any]] = {
    **{name: (name, None) for name in BACKBONES},
    **{f"se{name}": (name, TIMM_SE) for name in SE_ON},
    **{f"eca{name}": (name, ECA) for name in ECA_ON},
    **{f"legacy_se{name}": (f"legacy_{name}", "se") for name in LEGACY_SE_ON},
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
    "efficientnet_b0": ("efficientnet_b0", EFFICIENT_SE),
}


def shallow(model: Network, deep: int) -> tuple[Network, dict[str, int]]:
    """A network of more than `deep` blocks with two a stage, because all but the first of a ResNet are equal.

    Returns:
        The network, and how often each of its modules stands for one more that has been left out.
    """
    depths = model.depths
    if sum(depths) <= deep or not isinstance(model, ResNet):
        return model, {}
    short = model.clone(layers=tuple(min(depth, 2) for depth in depths))
    left_out = {
        f"stage{stage}_block2": depth - made
        for stage, (depth, made) in enumerate(zip(depths, short.depths, strict=True), 1)
    }
    return short, left_out
