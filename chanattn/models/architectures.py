"""The table of named architectures: rows of arguments for `ResNet`, not subclasses.

Names are timm's where timm has the network, and then parameters and outputs are timm's too; CIFAR
networks are called by their depth: `resnet20` is He et al.'s (arXiv:1512.03385, Section 4.2),
`preact_resnet164` that of arXiv:1603.05027, `wide_resnet28_10` that of Zagoruyko and Komodakis
(arXiv:1605.07146).
"""

from typing import Any

Arguments = dict[str, Any]

_CIFAR_PLANES = (16, 32, 64)
_IMAGENET_PLANES = (64, 128, 256, 512)
_DEEP = {"stem": "deep", "stem_width": 32, "shortcut": "avg_pool"}


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
    }


def _cifar_bottleneck(depth: int) -> Arguments:
    """9 n + 2 layers: three stages of n bottlenecks."""
    return _cifar(depth) | {
        "block": "bottleneck",
        "layers": ((depth - 2) // 9,) * 3,
        "shortcut": "projection",
    }


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


def _imagenet(block: str, *layers: int, **more: Any) -> Arguments:
    return {"block": block, "layers": layers, "planes": _IMAGENET_PLANES, **more}


def _resnest(*layers: int, stem_width: int = 32, base_width: int = 64) -> Arguments:
    return _imagenet("bottleneck", *layers, **(_DEEP | {"stem_width": stem_width})) | {
        "base_width": base_width,
        "conv": {"name": "splat", "radix": 2, "avd": True},
    }


ARCHITECTURES: dict[str, Arguments] = {
    # CIFAR, 32x32
    **{f"resnet{depth}": _cifar(depth) for depth in (8, 14, 20, 32, 44, 56, 110, 164)},
    **{f"resnet{depth}_bottleneck": _cifar_bottleneck(depth) for depth in (29, 110, 164)},
    **{f"preact_resnet{depth}": _preact(depth) for depth in (20, 56, 110)},
    "preact_resnet164": _preact(164, bottleneck=True),
    "wide_resnet16_8": _wide(16, 8),
    "wide_resnet28_10": _wide(28, 10),
    # ImageNet, 224x224
    "resnet18": _imagenet("basic", 2, 2, 2, 2),
    "resnet34": _imagenet("basic", 3, 4, 6, 3),
    "resnet50": _imagenet("bottleneck", 3, 4, 6, 3),
    "resnet101": _imagenet("bottleneck", 3, 4, 23, 3),
    "resnet152": _imagenet("bottleneck", 3, 8, 36, 3),
    "resnet50d": _imagenet("bottleneck", 3, 4, 6, 3, **_DEEP),
    "resnet101d": _imagenet("bottleneck", 3, 4, 23, 3, **_DEEP),
    "resnext50_32x4d": _imagenet("bottleneck", 3, 4, 6, 3, cardinality=32, base_width=4),
    "resnext101_32x8d": _imagenet("bottleneck", 3, 4, 23, 3, cardinality=32, base_width=8),
    "wide_resnet50_2": _imagenet("bottleneck", 3, 4, 6, 3, base_width=128),
    # With a mechanism of the conv slot built in
    "resnest14d": _resnest(1, 1, 1, 1),
    "resnest26d": _resnest(2, 2, 2, 2),
    "resnest50d": _resnest(3, 4, 6, 3),
    "resnest101e": _resnest(3, 4, 23, 3, stem_width=64),
    "skresnet18": _imagenet("basic", 2, 2, 2, 2)
    | {"conv": {"name": "sk", "reduction": 8, "min_width": 16, "split_input": True}},
    "skresnet50": _imagenet("bottleneck", 3, 4, 6, 3)
    | {"conv": {"name": "sk", "min_width": 8, "split_input": True}},
    "skresnext50_32x4d": _imagenet("bottleneck", 3, 4, 6, 3, cardinality=32, base_width=4)
    | {"conv": {"name": "sk"}},
}
