"""The rows of the mobile networks, as the papers' tables have them; part of `chanattn.models.architectures`.

A name of timm stands for timm's network without its attention. Those that begin with `tf_` were trained in
TensorFlow: their convolutions are padded as "same", and their norms have an epsilon of 1e-3. With and without
`tf_`, parameters have the same names and shapes; the weights of one give wrong outputs in the other.

    MobileNetV1       Howard et al. 2017, arXiv:1704.04861
    MobileNetV2       Sandler et al., CVPR 2018, arXiv:1801.04381; 110d, 120d: wider and deeper (timm)
    MNASNet           Tan et al., CVPR 2019, arXiv:1807.11626; A1, with SE, is semnasnet, B1 is mnasnet
    EfficientNet      Tan, Le, ICML 2019, arXiv:1905.11946; L2: arXiv:1911.04252
    EfficientNet-Lite and -EdgeTPU (es, em, el): google's tensorflow/tpu repository
    MobileNetV3       Howard et al., ICCV 2019, arXiv:1905.02244
    TinyNet           Han et al., NeurIPS 2020, arXiv:2010.14819
    FBNetV3           Dai et al., CVPR 2021, arXiv:2006.02049
    EfficientNetV2    Tan, Le, ICML 2021, arXiv:2104.00298; rw: before the authors' release (timm)
    LCNet             Cui et al. 2021, arXiv:2109.15099
"""

from collections.abc import Sequence
from typing import Any

from chanattn.models.rows import (
    RELU,
    TF,
    Arguments,
    Groups,
    conv,
    fused,
    inverted,
    net,
    rounded,
    scaled,
    separable,
    without,
    without_fused,
)

_V1 = (
    separable(3, 1, 64, 1),
    separable(3, 2, 128, 2),
    separable(3, 2, 256, 2),
    separable(3, 2, 512, 6),
    separable(3, 2, 1024, 2),
)
_V2 = (
    inverted(1, 3, 1, 16, 1),
    inverted(6, 3, 2, 24, 2),
    inverted(6, 3, 2, 32, 3),
    inverted(6, 3, 2, 64, 4),
    inverted(6, 3, 1, 96, 3),
    inverted(6, 3, 2, 160, 3),
    inverted(6, 3, 1, 320, 1),
)
_MNASNET_A1 = (
    without(1, 3, 1, 16, 1, skip=False),
    without(6, 3, 2, 24, 2),
    inverted(3, 5, 2, 40, 3),
    without(6, 3, 2, 80, 4),
    inverted(6, 3, 1, 112, 2),
    inverted(6, 5, 2, 160, 3),
    without(6, 3, 1, 320, 1),
)
_MNASNET_B1 = (
    inverted(1, 3, 1, 16, 1, skip=False),
    inverted(3, 3, 2, 24, 3),
    inverted(3, 5, 2, 40, 3),
    inverted(6, 5, 2, 80, 3),
    inverted(6, 3, 1, 96, 2),
    inverted(6, 5, 2, 192, 4),
    inverted(6, 3, 1, 320, 1, skip=False),
)
_MNASNET_SMALL = (
    without(1, 3, 1, 8, 1),
    without(3, 3, 2, 16, 1),
    without(6, 3, 2, 16, 2),
    inverted(6, 5, 2, 32, 4),
    inverted(6, 3, 1, 32, 3),
    inverted(6, 5, 2, 88, 3),
    without(6, 3, 1, 144, 1),
)
_EFFICIENTNET = (
    inverted(1, 3, 1, 16, 1),
    inverted(6, 3, 2, 24, 2),
    inverted(6, 5, 2, 40, 2),
    inverted(6, 3, 2, 80, 3),
    inverted(6, 5, 1, 112, 3),
    inverted(6, 5, 2, 192, 4),
    inverted(6, 3, 1, 320, 1),
)
_EDGETPU = (
    fused(4, 3, 1, 24, 1, skip=False),
    fused(8, 3, 2, 32, 2),
    fused(8, 3, 2, 48, 4),
    inverted(8, 5, 2, 96, 5),
    inverted(8, 5, 1, 144, 4),
    inverted(8, 5, 2, 192, 2),
)
_V3_LARGE = (
    without(1, 3, 1, 16, 1, **RELU),
    (without(4, 3, 2, 24, 1, **RELU), without(3, 3, 1, 24, 1, **RELU)),
    inverted(3, 5, 2, 40, 3, **RELU),
    (without(6, 3, 2, 80, 1), without(2.5, 3, 1, 80, 1), without(2.3, 3, 1, 80, 2)),
    inverted(6, 3, 1, 112, 2),
    inverted(6, 5, 2, 160, 3),
    conv(1, 1, 960, 1),
)
_V3_LARGE_MINIMAL = (
    inverted(1, 3, 1, 16, 1),
    (inverted(4, 3, 2, 24, 1), inverted(3, 3, 1, 24, 1)),
    inverted(3, 3, 2, 40, 3),
    (inverted(6, 3, 2, 80, 1), inverted(2.5, 3, 1, 80, 1), inverted(2.3, 3, 1, 80, 2)),
    inverted(6, 3, 1, 112, 2),
    inverted(6, 3, 2, 160, 3),
    conv(1, 1, 960, 1),
)
_V3_SMALL = (
    inverted(1, 3, 2, 16, 1, **RELU),
    (without(4.5, 3, 2, 24, 1, **RELU), without(3.67, 3, 1, 24, 1, **RELU)),
    (inverted(4, 5, 2, 40, 1), inverted(6, 5, 1, 40, 2)),
    inverted(3, 5, 1, 48, 2),
    inverted(6, 5, 2, 96, 3),
    conv(1, 1, 576, 1),
)
_V3_SMALL_MINIMAL = (
    inverted(1, 3, 2, 16, 1),
    (inverted(4.5, 3, 2, 24, 1), inverted(3.67, 3, 1, 24, 1)),
    (inverted(4, 3, 2, 40, 1), inverted(6, 3, 1, 40, 2)),
    inverted(3, 3, 1, 48, 2),
    inverted(6, 3, 2, 96, 3),
    conv(1, 1, 576, 1),
)
_FBNETV3_B = (
    without(1, 3, 1, 16, 2),
    (without(4, 5, 2, 24, 1), without(2, 5, 1, 24, 3)),
    (inverted(5, 5, 2, 40, 1), inverted(3, 5, 1, 40, 4)),
    (without(5, 5, 2, 72, 1), without(3, 3, 1, 72, 4)),
    (inverted(5, 3, 1, 120, 1), inverted(3, 5, 1, 120, 5)),
    (inverted(6, 3, 2, 184, 1), inverted(4, 5, 1, 184, 5), inverted(6, 5, 1, 224, 1)),
    conv(1, 1, 1344, 1),
)
_FBNETV3_D = (
    without(1, 3, 1, 16, 2),
    (without(5, 3, 2, 24, 1), without(2, 3, 1, 24, 5)),
    (inverted(4, 5, 2, 40, 1), inverted(3, 3, 1, 40, 4)),
    (without(5, 3, 2, 72, 1), without(3, 3, 1, 72, 4)),
    (inverted(5, 3, 1, 128, 1), inverted(3, 5, 1, 128, 6)),
    (inverted(6, 3, 2, 208, 1), inverted(5, 5, 1, 208, 5), inverted(6, 5, 1, 240, 1)),
    conv(1, 1, 1440, 1),
)
_FBNETV3_G = (
    without(1, 3, 1, 24, 3),
    (without(4, 5, 2, 40, 1), without(2, 5, 1, 40, 4)),
    (inverted(4, 5, 2, 56, 1), inverted(3, 5, 1, 56, 4)),
    (without(5, 5, 2, 104, 1), without(3, 3, 1, 104, 4)),
    (inverted(5, 3, 1, 160, 1), inverted(3, 5, 1, 160, 8)),
    (inverted(6, 3, 2, 264, 1), inverted(5, 5, 1, 264, 6), inverted(6, 5, 1, 288, 2)),
    conv(1, 1, 1728, 1),
)
_LCNET = (
    separable(3, 1, 32, 1, attention=False),
    separable(3, 2, 64, 2, attention=False),
    separable(3, 2, 128, 2, attention=False),
    (separable(3, 2, 256, 1, attention=False), separable(5, 1, 256, 1, attention=False)),
    separable(5, 1, 256, 4, attention=False),
    separable(5, 2, 512, 2),
)


_V2_BASE = (
    conv(3, 1, 16, 1, skip=True),
    without_fused(4, 3, 2, 32, 2),
    without_fused(4, 3, 2, 48, 2),
    inverted(4, 3, 2, 96, 3),
    inverted(6, 3, 1, 112, 5),
    inverted(6, 3, 2, 192, 8),
)
_V2_S = (
    conv(3, 1, 24, 2, skip=True),
    without_fused(4, 3, 2, 48, 4),
    without_fused(4, 3, 2, 64, 4),
    inverted(4, 3, 2, 128, 6),
    inverted(6, 3, 1, 160, 9),
    inverted(6, 3, 2, 256, 15),
)
_V2_S_RW = (without_fused(1, 3, 1, 24, 2), *_V2_S[1:-1], inverted(6, 3, 2, 272, 15))
_TEST = (
    conv(3, 1, 16, 1, skip=True),
    without_fused(4, 3, 2, 24, 1),
    without_fused(4, 3, 2, 32, 1),
    inverted(4, 3, 2, 48, 1),
    inverted(4, 3, 2, 64, 1),
)
_V2_M = (
    conv(3, 1, 24, 3, skip=True),
    without_fused(4, 3, 2, 48, 5),
    without_fused(4, 3, 2, 80, 5),
    inverted(4, 3, 2, 160, 7),
    inverted(6, 3, 1, 176, 14),
    inverted(6, 3, 2, 304, 18),
    inverted(6, 3, 1, 512, 5),
)
_V2_L = (
    conv(3, 1, 32, 4, skip=True),
    without_fused(4, 3, 2, 64, 7),
    without_fused(4, 3, 2, 96, 7),
    inverted(4, 3, 2, 192, 10),
    inverted(6, 3, 1, 224, 19),
    inverted(6, 3, 2, 384, 25),
    inverted(6, 3, 1, 640, 7),
)
_V2_XL = (
    conv(3, 1, 32, 4, skip=True),
    without_fused(4, 3, 2, 64, 8),
    without_fused(4, 3, 2, 96, 8),
    inverted(4, 3, 2, 192, 16),
    inverted(6, 3, 1, 256, 24),
    inverted(6, 3, 2, 512, 32),
    inverted(6, 3, 1, 640, 8),
)


def _mobilenetv1(width: float, **more: Any) -> Arguments:
    rows, stem = scaled(_V1, width), rounded(32 * width)
    return net(rows, stem=stem, activation="relu6", image_size=256, **more)


def _mobilenetv2(width: float) -> Arguments:
    rows, stem, head = scaled(_V2, width), rounded(32 * width), max(1280, rounded(1280 * width))
    return net(rows, stem=stem, activation="relu6", num_features=head)


def _fixed_ends(groups: Groups, width: float, depth: float, **more: Any) -> Arguments:
    """Stem, head and the depth of the first and the last group are not scaled."""
    rows = scaled(groups, width, depth, fix_ends=True)
    return net(rows, stem=32, activation="relu6", num_features=1280, **more)


def _mnasnet(groups: Groups, width: float = 1.0, stem: int = 32) -> Arguments:
    rows, stem = scaled(groups, width), rounded(stem * width)
    return net(rows, stem=stem, activation="relu", num_features=1280)


def _efficientnet(width: float, depth: float, image_size: int, **more: Any) -> Arguments:
    return net(
        scaled(_EFFICIENTNET, width, depth),
        stem=rounded(32 * width),
        activation="silu",
        num_features=rounded(1280 * width),
        image_size=image_size,
        **more,
    )


def _edge(width: float, depth: float, image_size: int, **more: Any) -> Arguments:
    """The first block is expanded as if its input had the width of its output."""
    stem = rounded(32 * width)
    ((row,), *others) = scaled(_EDGETPU, width, depth)
    first = row._replace(expansion=row.expansion * row.filters / stem, blocks=1)
    rest = [row._replace(blocks=row.blocks - 1)] if row.blocks > 1 else []
    return net(
        ((first, *rest), *others),
        stem=stem,
        activation="relu",
        num_features=rounded(1280 * width),
        image_size=image_size,
        **more,
    )


def _mobilenetv3(
    groups: Groups, pooled: int, width: float = 1.0, depth: float = 1.0, **more: Any
) -> Arguments:
    """Below a width of 0.75 the stem is not scaled."""
    chosen: Arguments = {
        "stem": 16 if width < 0.75 else rounded(16 * width),
        "activation": "hard_swish",
    }
    return net(scaled(groups, width, depth), pooled_features=pooled, **(chosen | more))


def _fbnetv3(groups: Groups, stem: int) -> Arguments:
    return _mobilenetv3(groups, 1984, stem=stem, image_size=256, pooled_bias=False)


def _lcnet(width: float) -> Arguments:
    return _mobilenetv3(_LCNET, 1280, width, stem=rounded(16 * width))


def _tinynet(width: float, depth: float, image_size: int) -> Arguments:
    """The stem is not scaled."""
    rows = scaled(_EFFICIENTNET, width, depth, rounding=round)
    return net(rows, stem=32, activation="silu", num_features=1280, image_size=image_size)


def _v2(
    groups: Groups,
    stem: int,
    image_size: int,
    width: float = 1.0,
    depth: float | Sequence[float] = 1.0,
    *,
    head: int = 1280,
    keep: float = 0.9,
    **more: Any,
) -> Arguments:
    return net(
        scaled(groups, width, depth, keep=keep),
        stem=rounded(stem * width, keep),
        activation="silu",
        num_features=rounded(head * width, keep),
        image_size=image_size,
        **more,
    )


def _v2_base(width: float, depth: float, image_size: int) -> Arguments:
    return _v2(_V2_BASE, 32, image_size, width, depth, keep=0.0, **TF)


_BOTH: tuple[tuple[str, Arguments], ...] = (("", {}), ("tf_", TF))
_SCALES = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
    "b6": (1.8, 2.6),
    "b7": (2.0, 3.1),
    "b8": (2.2, 3.6),
    "l2": (4.3, 5.3),
}
"""Factors of width and depth; the sizes of pictures follow, as those of the weights in timm."""
_SIZES = dict(zip(_SCALES, (224, 288, 288, 320, 384, 448, 528, 600, 672, 800), strict=True))
_TF_SIZES = dict(zip(_SCALES, (224, 240, 260, 300, 380, 456, 528, 600, 672, 475), strict=True))
_LITE_SIZES = {"0": 224, "1": 240, "2": 260, "3": 300, "4": 380}
_EDGE = {"es": (1.0, 1.0, 224), "em": (1.0, 1.1, 240), "el": (1.2, 1.4, 300)}
_V2_SIZES = {
    "s": (_V2_S, 24, 384, 384),
    "m": (_V2_M, 24, 416, 480),
    "l": (_V2_L, 32, 480, 480),
    "xl": (_V2_XL, 32, 512, 512),
}
"""Rows, stem, size of the pictures of timm's own and of the `tf_` weights."""

MOBILE: dict[str, Arguments] = {
    "mobilenetv1_100": _mobilenetv1(1.0),
    "mobilenetv1_100h": _mobilenetv1(1.0, num_features=1024),
    "mobilenetv1_125": _mobilenetv1(1.25),
    **{f"mobilenetv2_{w:03}": _mobilenetv2(w / 100) for w in (35, 50, 75, 100, 140)},
    "mobilenetv2_110d": _fixed_ends(_V2, 1.1, 1.2),
    "mobilenetv2_120d": _fixed_ends(_V2, 1.2, 1.4),
    **{f"mnasnet_{w:03}": _mnasnet(_MNASNET_B1, w / 100) for w in (50, 75, 100, 140)},
    **{f"semnasnet_{w:03}": _mnasnet(_MNASNET_A1, w / 100) for w in (50, 75, 100, 140)},
    "mnasnet_small": _mnasnet(_MNASNET_SMALL, stem=8),
    **{
        f"efficientnet_{name}": _efficientnet(*scale, _SIZES[name])
        for name, scale in _SCALES.items()
    },
    **{
        f"tf_efficientnet_{name}": _efficientnet(*scale, _TF_SIZES[name], **TF)
        for name, scale in _SCALES.items()
    },
    **{
        f"{prefix}efficientnet_lite{n}": _fixed_ends(
            _EFFICIENTNET, *_SCALES[f"b{n}"], image_size=size, **how
        )
        for prefix, how in _BOTH
        for n, size in _LITE_SIZES.items()
    },
    **{
        f"{prefix}efficientnet_{name}": _edge(*scale, **how)
        for prefix, how in _BOTH
        for name, scale in _EDGE.items()
    },
    "efficientnet_blur_b0": _efficientnet(1.0, 1.0, 224, anti_alias="blur_zeros"),
    "test_efficientnet": _v2(_TEST, 24, 160, head=256, keep=0.0),
    "mobilenetv3_large_075": _mobilenetv3(_V3_LARGE, 1280, 0.75),
    "mobilenetv3_large_100": _mobilenetv3(_V3_LARGE, 1280),
    "mobilenetv3_large_150d": _mobilenetv3(_V3_LARGE, 1280, 1.5, 1.2, image_size=320),
    "mobilenetv3_small_050": _mobilenetv3(_V3_SMALL, 1024, 0.5),
    "mobilenetv3_small_075": _mobilenetv3(_V3_SMALL, 1024, 0.75),
    "mobilenetv3_small_100": _mobilenetv3(_V3_SMALL, 1024),
    "tf_mobilenetv3_large_075": _mobilenetv3(_V3_LARGE, 1280, 0.75, **TF),
    "tf_mobilenetv3_large_100": _mobilenetv3(_V3_LARGE, 1280, **TF),
    "tf_mobilenetv3_small_075": _mobilenetv3(_V3_SMALL, 1024, 0.75, **TF),
    "tf_mobilenetv3_small_100": _mobilenetv3(_V3_SMALL, 1024, **TF),
    "tf_mobilenetv3_large_minimal_100": _mobilenetv3(_V3_LARGE_MINIMAL, 1280, **RELU, **TF),
    "tf_mobilenetv3_small_minimal_100": _mobilenetv3(_V3_SMALL_MINIMAL, 1024, **RELU, **TF),
    "fbnetv3_b": _fbnetv3(_FBNETV3_B, 16),
    "fbnetv3_d": _fbnetv3(_FBNETV3_D, 24),
    "fbnetv3_g": _fbnetv3(_FBNETV3_G, 32),
    "tinynet_a": _tinynet(1.0, 1.2, 192),
    "tinynet_b": _tinynet(0.75, 1.1, 188),
    "tinynet_c": _tinynet(0.54, 0.85, 184),
    "tinynet_d": _tinynet(0.54, 0.695, 152),
    "tinynet_e": _tinynet(0.51, 0.6, 106),
    **{f"lcnet_{w:03}": _lcnet(w / 100) for w in (35, 50, 75, 100, 150)},
    "efficientnetv2_rw_t": _v2(_V2_S, 24, 288, 0.8, 0.9),
    "efficientnetv2_rw_s": _v2(_V2_S_RW, 24, 384, head=1792),
    "efficientnetv2_rw_m": _v2(_V2_S_RW, 24, 416, 1.2, (1.2,) * 4 + (1.6,) * 2, head=1792),
    **{
        f"efficientnetv2_{n}": _v2(rows, stem, size)
        for n, (rows, stem, size, _) in _V2_SIZES.items()
    },
    **{
        f"tf_efficientnetv2_{n}": _v2(rows, stem, size, **TF)
        for n, (rows, stem, _, size) in _V2_SIZES.items()
    },
    "tf_efficientnetv2_b0": _v2_base(1.0, 1.0, 224),
    "tf_efficientnetv2_b1": _v2_base(1.0, 1.1, 240),
    "tf_efficientnetv2_b2": _v2_base(1.1, 1.2, 260),
    "tf_efficientnetv2_b3": _v2_base(1.2, 1.4, 300),
}
