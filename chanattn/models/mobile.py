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

import math
from collections.abc import Sequence
from typing import Any

from chanattn.attention.widths import make_divisible
from chanattn.models.inverted_residual import InvertedResidualNet, Row

Arguments = dict[str, Any]
Rows = tuple[tuple[Row, ...], ...]
Groups = Sequence[Row | Sequence[Row]]

_TF: Arguments = {"padding": "same", "epsilon": 1e-3}


def _inverted(*shape: Any, **more: Any) -> Row:
    """Expansion, kernel, stride, filters, blocks; an expansion of 1 is a depthwise and a 1x1 convolution."""
    return Row("inverted", *shape, **more)


def _without(*shape: Any, **more: Any) -> Row:
    """The same in a network with SE elsewhere."""
    return _inverted(*shape, **more)._replace(attention=False)


def _fused(*shape: Any, **more: Any) -> Row:
    return Row("fused", *shape, **more)


def _separable(*shape: Any, attention: bool = True) -> Row:
    """Kernel, stride, filters, blocks of MobileNetV1's depthwise separable convolutions."""
    return Row("separable", 1, *shape)._replace(attention=attention, skip=False)


def _conv(*shape: Any, skip: bool = False) -> Row:
    """Kernel, stride, filters, blocks."""
    return Row("conv", 1, *shape)._replace(attention=False, skip=skip)


_V1 = (
    _separable(3, 1, 64, 1),
    _separable(3, 2, 128, 2),
    _separable(3, 2, 256, 2),
    _separable(3, 2, 512, 6),
    _separable(3, 2, 1024, 2),
)
_V2 = (
    _inverted(1, 3, 1, 16, 1),
    _inverted(6, 3, 2, 24, 2),
    _inverted(6, 3, 2, 32, 3),
    _inverted(6, 3, 2, 64, 4),
    _inverted(6, 3, 1, 96, 3),
    _inverted(6, 3, 2, 160, 3),
    _inverted(6, 3, 1, 320, 1),
)
_MNASNET_A1 = (
    _without(1, 3, 1, 16, 1, skip=False),
    _without(6, 3, 2, 24, 2),
    _inverted(3, 5, 2, 40, 3),
    _without(6, 3, 2, 80, 4),
    _inverted(6, 3, 1, 112, 2),
    _inverted(6, 5, 2, 160, 3),
    _without(6, 3, 1, 320, 1),
)
_MNASNET_B1 = (
    _inverted(1, 3, 1, 16, 1, skip=False),
    _inverted(3, 3, 2, 24, 3),
    _inverted(3, 5, 2, 40, 3),
    _inverted(6, 5, 2, 80, 3),
    _inverted(6, 3, 1, 96, 2),
    _inverted(6, 5, 2, 192, 4),
    _inverted(6, 3, 1, 320, 1, skip=False),
)
_MNASNET_SMALL = (
    _without(1, 3, 1, 8, 1),
    _without(3, 3, 2, 16, 1),
    _without(6, 3, 2, 16, 2),
    _inverted(6, 5, 2, 32, 4),
    _inverted(6, 3, 1, 32, 3),
    _inverted(6, 5, 2, 88, 3),
    _without(6, 3, 1, 144, 1),
)
_EFFICIENTNET = (
    _inverted(1, 3, 1, 16, 1),
    _inverted(6, 3, 2, 24, 2),
    _inverted(6, 5, 2, 40, 2),
    _inverted(6, 3, 2, 80, 3),
    _inverted(6, 5, 1, 112, 3),
    _inverted(6, 5, 2, 192, 4),
    _inverted(6, 3, 1, 320, 1),
)
_EDGETPU = (
    _fused(4, 3, 1, 24, 1, skip=False),
    _fused(8, 3, 2, 32, 2),
    _fused(8, 3, 2, 48, 4),
    _inverted(8, 5, 2, 96, 5),
    _inverted(8, 5, 1, 144, 4),
    _inverted(8, 5, 2, 192, 2),
)
_RELU: Arguments = {"activation": "relu"}
_V3_LARGE = (
    _without(1, 3, 1, 16, 1, **_RELU),
    (_without(4, 3, 2, 24, 1, **_RELU), _without(3, 3, 1, 24, 1, **_RELU)),
    _inverted(3, 5, 2, 40, 3, **_RELU),
    (_without(6, 3, 2, 80, 1), _without(2.5, 3, 1, 80, 1), _without(2.3, 3, 1, 80, 2)),
    _inverted(6, 3, 1, 112, 2),
    _inverted(6, 5, 2, 160, 3),
    _conv(1, 1, 960, 1),
)
_V3_LARGE_MINIMAL = (
    _inverted(1, 3, 1, 16, 1),
    (_inverted(4, 3, 2, 24, 1), _inverted(3, 3, 1, 24, 1)),
    _inverted(3, 3, 2, 40, 3),
    (_inverted(6, 3, 2, 80, 1), _inverted(2.5, 3, 1, 80, 1), _inverted(2.3, 3, 1, 80, 2)),
    _inverted(6, 3, 1, 112, 2),
    _inverted(6, 3, 2, 160, 3),
    _conv(1, 1, 960, 1),
)
_V3_SMALL = (
    _inverted(1, 3, 2, 16, 1, **_RELU),
    (_without(4.5, 3, 2, 24, 1, **_RELU), _without(3.67, 3, 1, 24, 1, **_RELU)),
    (_inverted(4, 5, 2, 40, 1), _inverted(6, 5, 1, 40, 2)),
    _inverted(3, 5, 1, 48, 2),
    _inverted(6, 5, 2, 96, 3),
    _conv(1, 1, 576, 1),
)
_V3_SMALL_MINIMAL = (
    _inverted(1, 3, 2, 16, 1),
    (_inverted(4.5, 3, 2, 24, 1), _inverted(3.67, 3, 1, 24, 1)),
    (_inverted(4, 3, 2, 40, 1), _inverted(6, 3, 1, 40, 2)),
    _inverted(3, 3, 1, 48, 2),
    _inverted(6, 3, 2, 96, 3),
    _conv(1, 1, 576, 1),
)
_FBNETV3_B = (
    _without(1, 3, 1, 16, 2),
    (_without(4, 5, 2, 24, 1), _without(2, 5, 1, 24, 3)),
    (_inverted(5, 5, 2, 40, 1), _inverted(3, 5, 1, 40, 4)),
    (_without(5, 5, 2, 72, 1), _without(3, 3, 1, 72, 4)),
    (_inverted(5, 3, 1, 120, 1), _inverted(3, 5, 1, 120, 5)),
    (_inverted(6, 3, 2, 184, 1), _inverted(4, 5, 1, 184, 5), _inverted(6, 5, 1, 224, 1)),
    _conv(1, 1, 1344, 1),
)
_FBNETV3_D = (
    _without(1, 3, 1, 16, 2),
    (_without(5, 3, 2, 24, 1), _without(2, 3, 1, 24, 5)),
    (_inverted(4, 5, 2, 40, 1), _inverted(3, 3, 1, 40, 4)),
    (_without(5, 3, 2, 72, 1), _without(3, 3, 1, 72, 4)),
    (_inverted(5, 3, 1, 128, 1), _inverted(3, 5, 1, 128, 6)),
    (_inverted(6, 3, 2, 208, 1), _inverted(5, 5, 1, 208, 5), _inverted(6, 5, 1, 240, 1)),
    _conv(1, 1, 1440, 1),
)
_FBNETV3_G = (
    _without(1, 3, 1, 24, 3),
    (_without(4, 5, 2, 40, 1), _without(2, 5, 1, 40, 4)),
    (_inverted(4, 5, 2, 56, 1), _inverted(3, 5, 1, 56, 4)),
    (_without(5, 5, 2, 104, 1), _without(3, 3, 1, 104, 4)),
    (_inverted(5, 3, 1, 160, 1), _inverted(3, 5, 1, 160, 8)),
    (_inverted(6, 3, 2, 264, 1), _inverted(5, 5, 1, 264, 6), _inverted(6, 5, 1, 288, 2)),
    _conv(1, 1, 1728, 1),
)
_LCNET = (
    _separable(3, 1, 32, 1, attention=False),
    _separable(3, 2, 64, 2, attention=False),
    _separable(3, 2, 128, 2, attention=False),
    (_separable(3, 2, 256, 1, attention=False), _separable(5, 1, 256, 1, attention=False)),
    _separable(5, 1, 256, 4, attention=False),
    _separable(5, 2, 512, 2),
)


def _without_fused(*shape: Any) -> Row:
    return _fused(*shape, attention=False)


_V2_BASE = (
    _conv(3, 1, 16, 1, skip=True),
    _without_fused(4, 3, 2, 32, 2),
    _without_fused(4, 3, 2, 48, 2),
    _inverted(4, 3, 2, 96, 3),
    _inverted(6, 3, 1, 112, 5),
    _inverted(6, 3, 2, 192, 8),
)
_V2_S = (
    _conv(3, 1, 24, 2, skip=True),
    _without_fused(4, 3, 2, 48, 4),
    _without_fused(4, 3, 2, 64, 4),
    _inverted(4, 3, 2, 128, 6),
    _inverted(6, 3, 1, 160, 9),
    _inverted(6, 3, 2, 256, 15),
)
_V2_S_RW = (_without_fused(1, 3, 1, 24, 2), *_V2_S[1:-1], _inverted(6, 3, 2, 272, 15))
_TEST = (
    _conv(3, 1, 16, 1, skip=True),
    _without_fused(4, 3, 2, 24, 1),
    _without_fused(4, 3, 2, 32, 1),
    _inverted(4, 3, 2, 48, 1),
    _inverted(4, 3, 2, 64, 1),
)
_V2_M = (
    _conv(3, 1, 24, 3, skip=True),
    _without_fused(4, 3, 2, 48, 5),
    _without_fused(4, 3, 2, 80, 5),
    _inverted(4, 3, 2, 160, 7),
    _inverted(6, 3, 1, 176, 14),
    _inverted(6, 3, 2, 304, 18),
    _inverted(6, 3, 1, 512, 5),
)
_V2_L = (
    _conv(3, 1, 32, 4, skip=True),
    _without_fused(4, 3, 2, 64, 7),
    _without_fused(4, 3, 2, 96, 7),
    _inverted(4, 3, 2, 192, 10),
    _inverted(6, 3, 1, 224, 19),
    _inverted(6, 3, 2, 384, 25),
    _inverted(6, 3, 1, 640, 7),
)
_V2_XL = (
    _conv(3, 1, 32, 4, skip=True),
    _without_fused(4, 3, 2, 64, 8),
    _without_fused(4, 3, 2, 96, 8),
    _inverted(4, 3, 2, 192, 16),
    _inverted(6, 3, 1, 256, 24),
    _inverted(6, 3, 2, 512, 32),
    _inverted(6, 3, 1, 640, 8),
)


def _round(channels: float, keep: float = 0.9) -> int:
    """A width of a scaled network."""
    return make_divisible(channels, 8, keep=keep)


def _depths(blocks: Sequence[int], depth: float, rounding: Any) -> list[int]:
    """The blocks of a group's rows, `depth` times as many in sum; the first rows grow last."""
    left, wanted = sum(blocks), max(1, rounding(sum(blocks) * depth))
    scaled: list[int] = []
    for number in reversed(blocks):
        scaled.insert(0, max(1, round(number / left * wanted)))
        left, wanted = left - number, wanted - scaled[0]
    return scaled


def _groups(
    groups: Groups,
    width: float = 1.0,
    depth: float | Sequence[float] = 1.0,
    *,
    fix_ends: bool = False,
    rounding: Any = math.ceil,
    keep: float = 0.9,
) -> Rows:
    """Scaled rows.

    Args:
        groups: Rows, or those that count as one.
        width: Factor of the filters, which are rounded to multiples of 8.
        depth: Factor of the blocks, of all groups or of each.
        fix_ends: Leave the blocks of the first and the last group.
        rounding: Of the number of blocks.
        keep: See `make_divisible`.
    """
    factors = [depth] * len(groups) if isinstance(depth, (int, float)) else list(depth)
    if fix_ends:
        factors[0] = factors[-1] = 1.0
    scaled = []
    for given, factor in zip(groups, factors, strict=True):
        rows = (given,) if isinstance(given, Row) else given
        numbers = _depths([row.blocks for row in rows], factor, rounding)
        scaled.append(
            tuple(
                row._replace(filters=_round(row.filters * width, keep), blocks=number)
                for row, number in zip(rows, numbers, strict=True)
            )
        )
    return tuple(scaled)


def _net(groups: Rows, *, stem: int, activation: str, **more: Any) -> Arguments:
    return {
        "network": InvertedResidualNet,
        "groups": groups,
        "stem_width": stem,
        "activation": activation,
        **more,
    }


def _mobilenetv1(width: float, **more: Any) -> Arguments:
    rows, stem = _groups(_V1, width), _round(32 * width)
    return _net(rows, stem=stem, activation="relu6", image_size=256, **more)


def _mobilenetv2(width: float) -> Arguments:
    rows, stem, head = _groups(_V2, width), _round(32 * width), max(1280, _round(1280 * width))
    return _net(rows, stem=stem, activation="relu6", num_features=head)


def _fixed_ends(groups: Groups, width: float, depth: float, **more: Any) -> Arguments:
    """Stem, head and the depth of the first and the last group are not scaled."""
    rows = _groups(groups, width, depth, fix_ends=True)
    return _net(rows, stem=32, activation="relu6", num_features=1280, **more)


def _mnasnet(groups: Groups, width: float = 1.0, stem: int = 32) -> Arguments:
    rows, stem = _groups(groups, width), _round(stem * width)
    return _net(rows, stem=stem, activation="relu", num_features=1280)


def _efficientnet(width: float, depth: float, image_size: int, **more: Any) -> Arguments:
    return _net(
        _groups(_EFFICIENTNET, width, depth),
        stem=_round(32 * width),
        activation="silu",
        num_features=_round(1280 * width),
        image_size=image_size,
        **more,
    )


def _edge(width: float, depth: float, image_size: int, **more: Any) -> Arguments:
    """The first block is expanded as if its input had the width of its output."""
    stem = _round(32 * width)
    ((row,), *others) = _groups(_EDGETPU, width, depth)
    first = row._replace(expansion=row.expansion * row.filters / stem, blocks=1)
    rest = [row._replace(blocks=row.blocks - 1)] if row.blocks > 1 else []
    return _net(
        ((first, *rest), *others),
        stem=stem,
        activation="relu",
        num_features=_round(1280 * width),
        image_size=image_size,
        **more,
    )


def _mobilenetv3(
    groups: Groups, pooled: int, width: float = 1.0, depth: float = 1.0, **more: Any
) -> Arguments:
    """Below a width of 0.75 the stem is not scaled."""
    chosen: Arguments = {
        "stem": 16 if width < 0.75 else _round(16 * width),
        "activation": "hard_swish",
    }
    return _net(_groups(groups, width, depth), pooled_features=pooled, **(chosen | more))


def _fbnetv3(groups: Groups, stem: int) -> Arguments:
    return _mobilenetv3(groups, 1984, stem=stem, image_size=256, pooled_bias=False)


def _lcnet(width: float) -> Arguments:
    return _mobilenetv3(_LCNET, 1280, width, stem=_round(16 * width))


def _tinynet(width: float, depth: float, image_size: int) -> Arguments:
    """The stem is not scaled."""
    rows = _groups(_EFFICIENTNET, width, depth, rounding=round)
    return _net(rows, stem=32, activation="silu", num_features=1280, image_size=image_size)


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
    return _net(
        _groups(groups, width, depth, keep=keep),
        stem=_round(stem * width, keep),
        activation="silu",
        num_features=_round(head * width, keep),
        image_size=image_size,
        **more,
    )


def _v2_base(width: float, depth: float, image_size: int) -> Arguments:
    return _v2(_V2_BASE, 32, image_size, width, depth, keep=0.0, **_TF)


_BOTH: tuple[tuple[str, Arguments], ...] = (("", {}), ("tf_", _TF))
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
        f"tf_efficientnet_{name}": _efficientnet(*scale, _TF_SIZES[name], **_TF)
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
    "tf_mobilenetv3_large_075": _mobilenetv3(_V3_LARGE, 1280, 0.75, **_TF),
    "tf_mobilenetv3_large_100": _mobilenetv3(_V3_LARGE, 1280, **_TF),
    "tf_mobilenetv3_small_075": _mobilenetv3(_V3_SMALL, 1024, 0.75, **_TF),
    "tf_mobilenetv3_small_100": _mobilenetv3(_V3_SMALL, 1024, **_TF),
    "tf_mobilenetv3_large_minimal_100": _mobilenetv3(_V3_LARGE_MINIMAL, 1280, **_RELU, **_TF),
    "tf_mobilenetv3_small_minimal_100": _mobilenetv3(_V3_SMALL_MINIMAL, 1024, **_RELU, **_TF),
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
        f"tf_efficientnetv2_{n}": _v2(rows, stem, size, **_TF)
        for n, (rows, stem, _, size) in _V2_SIZES.items()
    },
    "tf_efficientnetv2_b0": _v2_base(1.0, 1.0, 224),
    "tf_efficientnetv2_b1": _v2_base(1.0, 1.1, 240),
    "tf_efficientnetv2_b2": _v2_base(1.1, 1.2, 260),
    "tf_efficientnetv2_b3": _v2_base(1.2, 1.4, 300),
}
