"""The table of named architectures: rows of arguments for a network class, not subclasses.

Every row is a backbone: its gate slot is empty, and `attention` fills it. Which row and which attention a
name of timm stands for, `chanattn.models.timm_names` tells.

CIFAR networks are called by their depth: `resnet20` is He et al.'s (arXiv:1512.03385, Section 4.2),
`preact_resnet164` that of arXiv:1603.05027, `wide_resnet28_10` that of Zagoruyko and Komodakis
(arXiv:1605.07146).
"""

from typing import Any

from chanattn.models.convnext import CONVNEXTS
from chanattn.models.ghost import GHOSTS
from chanattn.models.mobile import MOBILE
from chanattn.models.mobile_searched import SEARCHED
from chanattn.models.nfnet_rows import NFNETS
from chanattn.models.regnet import REGNETS
from chanattn.models.rexnet import REXNETS
from chanattn.models.vovnet import VoVNet

Arguments = dict[str, Any]

_CIFAR_PLANES = (16, 32, 64)
_IMAGENET_PLANES = (64, 128, 256, 512)
_DEEP = {"stem": "deep", "stem_width": 32, "shortcut": "avg_pool"}
_TIERED = _DEEP | {"stem": "tiered"}
_SILU = {"activation": "silu"}
_X = {"cardinality": 32, "base_width": 4}
_AA = {"anti_alias": "avg", "stem_pool": "avg"}
_BLUR = {"anti_alias": "blur", "stem_pool": "max_blur"}
_R256 = {"image_size": 256}


def _cifar(depth: int) -> Arguments:
    """6 n + 2 layers: three stages of n basic blocks, parameter-free shortcuts (option A)."""
    return {
        "block": "basic",
        "layers": ((depth - 2) // 6,) * 3,
        "planes": _CIFAR_PLANES,
        "stem": "cifar",
        "stem_width": 16,
        "stem_pool": "",
        "shortcut": "zero_pad",
        "image_size": 32,
    }


def _cifar_bottleneck(depth: int) -> Arguments:
    """9 n + 2 layers: three stages of n bottlenecks."""
    return _cifar(depth) | {
        "block": "bottleneck",
        "layers": ((depth - 2) // 9,) * 3,
        "shortcut": "projection",
    }


def _grouped(cardinality: int, base_width: int, plain: Arguments) -> Arguments:
    """ResNeXt (Xie et al., CVPR 2017, arXiv:1611.05431): a width of `base_width` a group at 64 planes."""
    return plain | {"cardinality": cardinality, "base_width": base_width}


def _preact(depth: int, *, bottleneck: bool = False) -> Arguments:
    plain = _cifar_bottleneck(depth) if bottleneck else _cifar(depth)
    block = "preact_bottleneck" if bottleneck else "preact_basic"
    return plain | {"block": block, "stem": "cifar_bare", "shortcut": "projection"}


def _wide(depth: int, factor: int) -> Arguments:
    """6 n + 4 layers: three stages of n pre-activated basic blocks, `factor` times as wide."""
    return _preact(depth) | {
        "layers": ((depth - 4) // 6,) * 3,
        "planes": tuple(factor * width for width in _CIFAR_PLANES),
    }


def _basic(*layers: int, **more: Any) -> Arguments:
    return {"block": "basic", "layers": layers, "planes": _IMAGENET_PLANES, **more}


def _bottleneck(*layers: int, **more: Any) -> Arguments:
    return {"block": "bottleneck", "layers": layers, "planes": _IMAGENET_PLANES, **more}


def _rs(*layers: int, image_size: int) -> Arguments:
    """ResNet-RS (Bello et al., NeurIPS 2021, arXiv:2103.07579)."""
    return _bottleneck(*layers, **_DEEP, stem_pool="conv", image_size=image_size)


def _ts(*layers: int, **more: Any) -> Arguments:
    """The "t" networks of timm's byobnet.py: tiered stem, strided projections; attention sits at "mid"."""
    return _bottleneck(*layers, stem="tiered", stem_width=32, **_R256) | more


def _caffe(make: Any, *layers: int, **more: Any) -> Arguments:
    """The layout of SENet's release: a stem pool without padding."""
    return make(*layers, stem_pool="ceil_max", **more)


def _senet154(**more: Any) -> Arguments:
    """A ResNeXt-152 with half of the first 1x1 convolution and 3x3 projections (SENet paper, Section 6.1)."""
    return _bottleneck(
        *(3, 8, 36, 3),
        stem="deep",
        shortcut="projection3x3",
        cardinality=64,
        base_width=4,
        reduce_first=2,
        **more,
    )


def _resnest(
    *layers: int,
    stem_width: int = 32,
    cardinality: int = 1,
    base_width: int = 64,
    image_size: int = 224,
    **splat: Any,
) -> Arguments:
    return _bottleneck(*layers, **(_DEEP | {"stem_width": stem_width})) | {
        "image_size": image_size,
        "cardinality": cardinality,
        "base_width": base_width,
        "conv": {"name": "splat", "radix": 2, "avd": True, **splat},
    }


_SLIM = {"widths": (64, 80, 96, 112), "filters": (112, 256, 384, 512)}


def _vovnet(*layers: int, block_layers: int = 5, **more: Any) -> Arguments:
    return {
        "network": VoVNet,
        "layers": layers,
        "widths": (128, 160, 192, 224),
        "filters": (256, 512, 768, 1024),
        "block_layers": block_layers,
        **more,
    }


_SK_SPLIT_BASIC = {"name": "sk", "reduction": 8, "min_width": 16, "split_input": True}
_SK_SPLIT = {"name": "sk", "preset": "timm"}

ARCHITECTURES: dict[str, Arguments] = {
    # CIFAR, 32x32
    **{f"resnet{depth}": _cifar(depth) for depth in (8, 14, 20, 32, 44, 56, 110, 164)},
    **{f"resnet{depth}_bottleneck": _cifar_bottleneck(depth) for depth in (11, 29, 110, 164)},
    **{
        f"resnet{depth}_bottleneck_{x}x{d}d": _grouped(x, d, _cifar_bottleneck(depth))
        for depth in (11, 29)
        for x, d in ((2, 40), (4, 24))
    },
    **{f"preact_resnet{depth}": _preact(depth) for depth in (20, 56, 110)},
    **{f"preact_resnet{depth}": _preact(depth, bottleneck=True) for depth in (164, 1001)},
    "wide_resnet16_8": _wide(16, 8),
    "wide_resnet28_10": _wide(28, 10),
    # ImageNet, 224x224
    "resnet18": _basic(2, 2, 2, 2),
    "resnet34": _basic(3, 4, 6, 3),
    "resnet26": _bottleneck(2, 2, 2, 2),
    "resnet50": _bottleneck(3, 4, 6, 3),
    "resnet101": _bottleneck(3, 4, 23, 3),
    "resnet152": _bottleneck(3, 8, 36, 3),
    "resnet200": _bottleneck(3, 24, 36, 3),
    **{
        f"resnet{depth}{kind}": _bottleneck(*layers, stem="deep", stem_width=width)
        for depth, layers in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3)))
        for kind, width in (("c", 32), ("s", 64))
    },
    "resnet18d": _basic(2, 2, 2, 2, **_DEEP),
    "resnet34d": _basic(3, 4, 6, 3, **_DEEP),
    "resnet26d": _bottleneck(2, 2, 2, 2, **_DEEP),
    "resnet50d": _bottleneck(3, 4, 6, 3, **_DEEP),
    "resnet101d": _bottleneck(3, 4, 23, 3, **_DEEP, **_R256),
    "resnet152d": _bottleneck(3, 8, 36, 3, **_DEEP, **_R256),
    "resnet200d": _bottleneck(3, 24, 36, 3, **_DEEP, **_R256),
    "resnet269d": _bottleneck(3, 30, 48, 8, **_DEEP, **_R256),
    "resnet10t": _basic(1, 1, 1, 1, **_TIERED, image_size=176),
    "resnet14t": _bottleneck(1, 1, 1, 1, **_TIERED, image_size=176),
    "resnet26t": _bottleneck(2, 2, 2, 2, **_TIERED, **_R256),
    "resnet50t": _bottleneck(3, 4, 6, 3, **_TIERED),
    "resnetlight": _bottleneck(1, 1, 11, 3, shortcut="avg_pool"),
    "resnetrs50": _rs(3, 4, 6, 3, image_size=160),
    "resnetrs101": _rs(3, 4, 23, 3, image_size=192),
    "resnetrs152": _rs(3, 8, 36, 3, image_size=256),
    "resnetrs200": _rs(3, 24, 36, 3, image_size=256),
    "resnetrs270": _rs(4, 29, 53, 4, image_size=256),
    "resnetrs350": _rs(4, 36, 72, 4, image_size=288),
    "resnetrs420": _rs(4, 44, 87, 4, image_size=320),
    "wide_resnet50_2": _bottleneck(3, 4, 6, 3, base_width=128),
    "wide_resnet101_2": _bottleneck(3, 4, 23, 3, base_width=128),
    "resnext50_32x4d": _bottleneck(3, 4, 6, 3, **_X),
    "resnext101_32x4d": _bottleneck(3, 4, 23, 3, **_X),
    "resnext101_32x8d": _bottleneck(3, 4, 23, 3, cardinality=32, base_width=8),
    "resnext101_32x16d": _bottleneck(3, 4, 23, 3, cardinality=32, base_width=16),
    "resnext101_32x32d": _bottleneck(3, 4, 23, 3, cardinality=32, base_width=32),
    "resnext101_64x4d": _bottleneck(3, 4, 23, 3, cardinality=64, base_width=4),
    "resnext26d_32x4d": _bottleneck(2, 2, 2, 2, **_X, **_DEEP),
    "resnext50d_32x4d": _bottleneck(3, 4, 6, 3, **_X, **_DEEP),
    "resnext101d_32x8d": _bottleneck(3, 4, 23, 3, cardinality=32, base_width=8, **_DEEP),
    "resnext26t_32x4d": _bottleneck(2, 2, 2, 2, **_X, **_TIERED),
    "resnext50t_32x4d": _bottleneck(3, 4, 6, 3, **_X, **_TIERED),
    # Anti-aliased: names and shapes of the parameters are those of the networks without "aa" and "blur"
    "resnetaa34d": _basic(3, 4, 6, 3, **_DEEP, **_AA),
    "resnetaa50": _bottleneck(3, 4, 6, 3, **_AA),
    "resnetaa50d": _bottleneck(3, 4, 6, 3, **_DEEP, **_AA),
    "resnetaa101d": _bottleneck(3, 4, 23, 3, **_DEEP, **_AA),
    "resnextaa101d_32x8d": _bottleneck(
        *(3, 4, 23, 3), cardinality=32, base_width=8, image_size=288, **_DEEP, **_AA
    ),
    "resnextaa201d_32x8d": _bottleneck(
        *(3, 24, 36, 4),
        cardinality=32,
        base_width=8,
        image_size=384,
        **(_DEEP | _AA | {"stem_width": 64}),
    ),
    "resnetblur18": _basic(2, 2, 2, 2, **_BLUR),
    "resnetblur50": _bottleneck(3, 4, 6, 3, **_BLUR),
    "resnetblur50d": _bottleneck(3, 4, 6, 3, **_DEEP, **_BLUR),
    "resnetblur101d": _bottleneck(3, 4, 23, 3, **_DEEP, **_BLUR),
    # With attention at "mid" in timm; resnet50t_strided is the backbone of its gcresnet50t
    "resnet32ts": _ts(2, 3, 3, 2, planes=(64, 128, 384, 384), stem_pool="strided", **_SILU),
    "resnet33ts": _ts(2, 3, 3, 2, planes=(64, 128, 384, 384), stem_pool="strided", **_SILU)
    | {"num_features": 1280},
    "resnext26ts": _ts(2, 2, 2, 2, group_width=32, **_SILU),
    "resnext50ts": _ts(3, 4, 6, 3, group_width=32, **_SILU),
    "resnet50t_strided": _ts(3, 4, 6, 3, stem_pool="strided"),
    # As SENet was released
    "senet154": _senet154(stem_width=64),
    "legacy_senet154": _senet154(stem_width=64, stem_pool="ceil_max"),
    "legacy_resnet18": _caffe(_basic, 2, 2, 2, 2, rectify_branch=True),
    "legacy_resnet34": _caffe(_basic, 3, 4, 6, 3, rectify_branch=True),
    "legacy_resnet50": _caffe(_bottleneck, 3, 4, 6, 3, stride_first=True),
    "legacy_resnet101": _caffe(_bottleneck, 3, 4, 23, 3, stride_first=True),
    "legacy_resnet152": _caffe(_bottleneck, 3, 8, 36, 3, stride_first=True),
    "legacy_resnext26_32x4d": _caffe(_bottleneck, 2, 2, 2, 2, **_X),
    "legacy_resnext50_32x4d": _caffe(_bottleneck, 3, 4, 6, 3, **_X),
    "legacy_resnext101_32x4d": _caffe(_bottleneck, 3, 4, 23, 3, **_X),
    # With a mechanism of the conv slot built in
    "resnest14d": _resnest(1, 1, 1, 1),
    "resnest26d": _resnest(2, 2, 2, 2),
    "resnest50d": _resnest(3, 4, 6, 3),
    "resnest50d_1s4x24d": _resnest(
        *(3, 4, 6, 3), radix=1, cardinality=4, base_width=24, avd_first=True
    ),
    "resnest50d_4s2x40d": _resnest(
        *(3, 4, 6, 3), radix=4, cardinality=2, base_width=40, avd_first=True
    ),
    "resnest101e": _resnest(3, 4, 23, 3, stem_width=64, image_size=256),
    "resnest200e": _resnest(3, 24, 36, 3, stem_width=64, image_size=320),
    "resnest269e": _resnest(3, 30, 48, 8, stem_width=64, image_size=416),
    "skresnet18": _basic(2, 2, 2, 2, conv=_SK_SPLIT_BASIC),
    "skresnet34": _basic(3, 4, 6, 3, conv=_SK_SPLIT_BASIC),
    "skresnet50": _bottleneck(3, 4, 6, 3, conv=_SK_SPLIT),
    "skresnet50d": _bottleneck(3, 4, 6, 3, **_DEEP, conv=_SK_SPLIT),
    "skresnext50_32x4d": _bottleneck(3, 4, 6, 3, **_X, conv={"name": "sk"}),
    **REGNETS,
    **CONVNEXTS,
    **NFNETS,
    # Other families
    "vovnet39a": _vovnet(1, 1, 2, 2, residual=False),
    "vovnet57a": _vovnet(1, 1, 4, 3, residual=False),
    "vovnet19b_slim": _vovnet(1, 1, 1, 1, block_layers=3, **_SLIM),
    "vovnet19b_slim_dw": _vovnet(
        *(1, 1, 1, 1), block_layers=3, stem_widths=(64, 64, 64), depthwise=True, **_SLIM
    ),
    "vovnet19b_dw": _vovnet(
        *(1, 1, 1, 1), block_layers=3, stem_widths=(64, 64, 64), depthwise=True
    ),
    "vovnet39b": _vovnet(1, 1, 2, 2),
    "vovnet57b": _vovnet(1, 1, 4, 3, **_R256),
    "vovnet99b": _vovnet(1, 3, 9, 3),
    **MOBILE,
    **SEARCHED,
    **GHOSTS,
    **REXNETS,
}
