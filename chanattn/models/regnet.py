"""The rows of the RegNets; part of `chanattn.models.architectures`.

Radosavovic, Kosaraju, Girshick, He, Dollar. Designing Network Design Spaces. CVPR 2020. arXiv:2003.13678. A
network of bottlenecks whose widths grow linearly and are then rounded: block j of d has w_0 + w_a j channels,
brought to the nearest power w_0 w_m^k and to a multiple of 8; blocks of the same width are a stage.

    RegNetX, RegNetY   The paper's tables 8 and 9; in Y there is SE at the placement "mid".
    RegNetV            RegNetY with pre-activation and SiLU (timm); SE is at "pre_norm".
    RegNetZ            Dollar, Singh, Girshick. Fast and Accurate Model Scaling. CVPR 2021. arXiv:2103.06877.
                       Inverted bottlenecks, no activation behind the sum, no shortcut where the shape
                       changes. `_005` and `_040` are generated as the others; `b16` to `e8` are timm's own.
"""

from typing import Any

import numpy as np

from chanattn.attention.widths import make_divisible

Arguments = dict[str, Any]


def stages(depth: int, w_0: int, w_a: float, w_m: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Blocks and width of every stage, equations 2 to 4 of the paper."""
    linear = w_0 + w_a * np.arange(depth)
    power = np.round(np.log(linear / w_0) / np.log(w_m))
    widths, blocks = np.unique(np.round(w_0 * w_m**power / 8) * 8, return_counts=True)
    return tuple(blocks.tolist()), tuple(widths.astype(int).tolist())


def _regnet(
    depth: int,
    w_0: int,
    w_a: float,
    w_m: float,
    group: int,
    *,
    expansion: int = 1,
    keep: float = 0.0,
    **more: Any,
) -> Arguments:
    """A row.

    Args:
        depth: d.
        w_0: Width of the first block.
        w_a: Slope of the widths.
        w_m: Factor between stages.
        group: Width of a group of the 3x3 convolutions.
        expansion: Their width over that of the stage.
        keep: As of `make_divisible`: torchvision brings the widths to multiples of the groups with 0.9.
        **more: Of `ResNet`.
    """
    layers, widths = stages(depth, w_0, w_a, w_m)
    if keep:
        planes = tuple(make_divisible(width, min(group, width), keep=keep) for width in widths)
    else:
        inner = [width * expansion for width in widths]
        groups = [min(group, width) for width in inner]
        planes = tuple(
            round(width / of) * of // expansion for width, of in zip(inner, groups, strict=True)
        )
    return {
        "block": "bottleneck",
        "layers": layers,
        "planes": planes,
        "expansion": 1,
        "base_width": 64 * expansion,
        "group_width": group,
        "stem": "conv3",
        "stem_width": 32,
        "stem_pool": "",
        "first_stride": 2,
        **more,
    }


def _v(*numbers: Any, **more: Any) -> Arguments:
    return _regnet(*numbers) | {
        "block": "preact_bottleneck",
        "activated_shortcut": True,
        "final_norm": False,
        "stem": "conv3_bare",
        "activation": "silu",
        **more,
    }


_Z: Arguments = {"shortcut": "absent", "linear_sum": True, "activation": "silu"}


def _z(*numbers: Any, **more: Any) -> Arguments:
    return _regnet(*numbers, expansion=4, **(_Z | more))


def _timm_z(
    layers: tuple[int, ...],
    planes: tuple[int, ...],
    group: int,
    final: int,
    *,
    expansion: int = 4,
    **more: Any,
) -> Arguments:
    """Blocks are wider than their input by `expansion`, not than their output."""
    return {
        "block": "bottleneck",
        "layers": layers,
        "planes": planes,
        "expansion": 1,
        "base_width": 64 * expansion,
        "width_of_input": True,
        "group_width": group,
        "stem_width": 32,
        "num_features": final,
        "image_size": 256,
        **_Z,
        **more,
    }


_SMALL: Arguments = {"stem": "conv3", "stem_pool": "", "first_stride": 2}
_LARGE: Arguments = {"stem": "tiered", "stem_pool": "strided"}
_BC = ((2, 6, 12, 2), (48, 96, 192, 288), 16, 1536)
_D = ((3, 6, 12, 3), (64, 128, 256, 384))

REGNETS: dict[str, Arguments] = {
    "regnetx_002": _regnet(13, 24, 36.44, 2.49, 8),
    "regnetx_004": _regnet(22, 24, 24.48, 2.54, 16),
    "regnetx_004_tv": _regnet(22, 24, 24.48, 2.54, 16, keep=0.9),
    "regnetx_006": _regnet(16, 48, 36.97, 2.24, 24),
    "regnetx_008": _regnet(16, 56, 35.73, 2.28, 16),
    "regnetx_016": _regnet(18, 80, 34.01, 2.25, 24),
    "regnetx_032": _regnet(25, 88, 26.31, 2.25, 48),
    "regnetx_040": _regnet(23, 96, 38.65, 2.43, 40),
    "regnetx_064": _regnet(17, 184, 60.83, 2.07, 56),
    "regnetx_080": _regnet(23, 80, 49.56, 2.88, 120),
    "regnetx_120": _regnet(19, 168, 73.36, 2.37, 112),
    "regnetx_160": _regnet(22, 216, 55.59, 2.1, 128),
    "regnetx_320": _regnet(23, 320, 69.86, 2.0, 168),
    "regnety_002": _regnet(13, 24, 36.44, 2.49, 8),
    "regnety_004": _regnet(16, 48, 27.89, 2.09, 8),
    "regnety_006": _regnet(15, 48, 32.54, 2.32, 16),
    "regnety_008": _regnet(14, 56, 38.84, 2.4, 16),
    "regnety_008_tv": _regnet(14, 56, 38.84, 2.4, 16, keep=0.9),
    "regnety_016": _regnet(27, 48, 20.71, 2.65, 24),
    "regnety_032": _regnet(21, 80, 42.63, 2.66, 24),
    "regnety_040": _regnet(22, 96, 31.41, 2.24, 64),
    "regnety_064": _regnet(25, 112, 33.22, 2.27, 72),
    "regnety_080": _regnet(17, 192, 76.82, 2.19, 56),
    "regnety_080_tv": _regnet(17, 192, 76.82, 2.19, 56, keep=0.9),
    "regnety_120": _regnet(19, 168, 73.36, 2.37, 112),
    "regnety_160": _regnet(18, 200, 106.23, 2.48, 112),
    "regnety_320": _regnet(20, 232, 115.89, 2.53, 232),
    "regnety_640": _regnet(20, 352, 147.48, 2.4, 328, image_size=384),
    "regnety_1280": _regnet(27, 456, 160.83, 2.52, 264, image_size=384),
    "regnety_2560": _regnet(27, 640, 230.83, 2.53, 373, image_size=384),
    "regnetv_040": _v(22, 96, 31.41, 2.24, 64),
    "regnetv_064": _v(25, 112, 33.22, 2.27, 72, shortcut="avg_pool"),
    "regnetz_005": _z(21, 16, 10.7, 2.51, 4, num_features=1024),
    "regnetz_040": _z(28, 48, 14.5, 2.226, 8, image_size=256),
    "regnetz_040_h": _z(28, 48, 14.5, 2.226, 8, num_features=1536, image_size=256),
    "regnetz_b16": _timm_z(*_BC, expansion=3, **_SMALL) | {"image_size": 224},
    "regnetz_c16": _timm_z(*_BC, **_SMALL),
    "regnetz_d8": _timm_z(*_D, 8, 1792, **_LARGE),
    "regnetz_d32": _timm_z(*_D, 32, 1792, **_LARGE),
    "regnetz_e8": _timm_z((3, 8, 16, 3), (96, 192, 384, 512), 8, 2048, **_LARGE),
}
