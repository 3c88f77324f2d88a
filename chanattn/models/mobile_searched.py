"""The rows of MixNet and HardCoRe-NAS; part of `chanattn.models.architectures`.

    MixNet         Tan, Le. MixConv: Mixed Depthwise Convolutional Kernels. BMVC 2019. arXiv:1907.09595; `_xl`
                   and `_xxl`: wider and deeper (timm)
    HardCoRe-NAS   Nayman, Aflalo, Noy, Zelnik-Manor. HardCoRe-NAS: Hard Constrained diffeRentiable Neural
                   Architecture Search. ICML 2021. arXiv:2102.11646

MixNet's blocks have SE of half the input's width, or, in one stage, of a quarter.
"""

from typing import Any

from chanattn.models.inverted_residual import Row
from chanattn.models.rows import (
    RELU,
    TF,
    Arguments,
    Groups,
    conv,
    inverted,
    net,
    rounded,
    scaled,
    without,
)

# Groups of the 1x1 convolutions.
_FIRST, _LAST, _BOTH = ({"pointwise": groups} for groups in ((2, 1), (1, 2), (2, 2)))
_QUARTER: Arguments = {"squeeze": 0.5}


def _swish(*shape: Any, **more: Any) -> Row:
    """With SE and SiLU; blocks without SE have ReLU, as have the convolutions outside of the blocks."""
    return inverted(*shape, activation="silu", **more)


_MIXNET_S = (
    without(1, 3, 1, 16, 1),
    (without(6, 3, 2, 24, 1, **_BOTH), without(3, 3, 1, 24, 1, **_BOTH)),
    (_swish(6, (3, 5, 7), 2, 40, 1), _swish(6, (3, 5), 1, 40, 3, **_BOTH)),
    (
        _swish(6, (3, 5, 7), 2, 80, 1, **_LAST, **_QUARTER),
        _swish(6, (3, 5), 1, 80, 2, **_LAST, **_QUARTER),
    ),
    (
        _swish(6, (3, 5, 7), 1, 120, 1, **_BOTH),
        _swish(3, (3, 5, 7, 9), 1, 120, 2, **_BOTH),
    ),
    (_swish(6, (3, 5, 7, 9, 11), 2, 200, 1), _swish(6, (3, 5, 7, 9), 1, 200, 2, **_LAST)),
)
_MIXNET_M = (
    without(1, 3, 1, 24, 1),
    (without(6, (3, 5, 7), 2, 32, 1, **_BOTH), without(3, 3, 1, 32, 1, **_BOTH)),
    (_swish(6, (3, 5, 7, 9), 2, 40, 1), _swish(6, (3, 5), 1, 40, 3, **_BOTH)),
    (
        _swish(6, (3, 5, 7), 2, 80, 1, **_QUARTER),
        _swish(6, (3, 5, 7, 9), 1, 80, 3, **_BOTH, **_QUARTER),
    ),
    (_swish(6, 3, 1, 120, 1), _swish(3, (3, 5, 7, 9), 1, 120, 3, **_BOTH)),
    (_swish(6, (3, 5, 7, 9), 2, 200, 1), _swish(6, (3, 5, 7, 9), 1, 200, 3, **_LAST)),
)


def _mixnet(groups: Groups, stem: int, width: float = 1.0, depth: float = 1.0) -> Arguments:
    rows = scaled(groups, width, depth, rounding=round)
    stem = rounded(stem * width)
    return net(rows, stem=stem, activation="relu", num_features=1536)


_MIXNETS: dict[str, Arguments] = {
    "s": _mixnet(_MIXNET_S, 16),
    "m": _mixnet(_MIXNET_M, 24),
    "l": _mixnet(_MIXNET_M, 24, 1.3),
    "xl": _mixnet(_MIXNET_M, 24, 1.6, 1.2),
    "xxl": _mixnet(_MIXNET_M, 24, 2.4, 1.3),
}

#: By stage, filters and stride; by block kernel and expansion, with SE if there is an "s". The first two
#: stages behind the first block have ReLU.
_HARDCORE_STAGES = ((24, 2), (40, 2), (80, 2), (112, 1), (192, 2))
_HARDCORE = {
    "a": ("5-3 5-3s", "5-3 5-6s", "5-6s 5-6s", "5-6s 5-6s", "5-6s 5-6s"),
    "b": ("5-3 5-3s 3-3", "5-3 5-3 5-3", "5-3 5-3 3-3 3-3", "5-3 3-3 3-3 3-3", "5-6s 5-6s 3-3s"),
    "c": ("5-3 5-3s", "5-3 5-3 5-3 5-3", "5-4 5-6s 3-3 3-3", "5-6s 3-3 3-3 3-3", "5-6s 5-6s 3-3s"),
    "d": (
        *("5-3s 5-3s", "5-3s 5-4s 3-3s", "5-4s 3-3s 3-3s 3-3s", "3-4s 5-4s 3-3s 5-3s"),
        "5-6s 5-6s 5-6s 3-6s",
    ),
    "e": (
        *("5-3s 5-3s", "5-6s 5-4s 5-4s 3-3s", "5-4s 3-6s", "5-6s 5-6s 5-6s 5-3s"),
        "5-6s 5-6s 5-6s 3-6s",
    ),
    "f": (
        *("5-3s 5-3s", "5-6s 5-6s", "5-6s 5-6s 3-3s 3-3s", "3-6s 5-6s 5-6s 3-3s"),
        "5-6s 5-6s 3-6s 3-6s",
    ),
}


def _hardcore(*stages: str) -> Arguments:
    groups: list[Any] = [without(1, 3, 1, 16, 1, **RELU)]
    for number, (blocks, (filters, stride)) in enumerate(
        zip(stages, _HARDCORE_STAGES, strict=True)
    ):
        rows: list[Row] = []
        for block in blocks.split():
            kernel, expansion = map(int, block.removesuffix("s").split("-"))
            row = inverted(expansion, kernel, 1 if rows else stride, filters, 1)
            act = "relu" if number < 2 else ""
            rows.append(row._replace(attention=block.endswith("s"), activation=act))
        groups.append(rows)
    groups.append(conv(1, 1, 960, 1))
    rows_ = scaled(groups)
    return net(rows_, stem=32, activation="hard_swish", pooled_features=1280)


SEARCHED: dict[str, Arguments] = {
    **{f"mixnet_{size}": row for size, row in _MIXNETS.items()},
    **{f"tf_mixnet_{size}": _MIXNETS[size] | TF for size in "sml"},
    **{f"hardcorenas_{size}": _hardcore(*stages) for size, stages in _HARDCORE.items()},
}
