"""How the tables of mobile networks are written: lines, and their scaling by width and depth."""

import math
from collections.abc import Sequence
from typing import Any

from chanattn.attention.widths import make_divisible
from chanattn.models.inverted_residual import InvertedResidualNet, Row

Arguments = dict[str, Any]
Rows = tuple[tuple[Row, ...], ...]
Groups = Sequence[Row | Sequence[Row]]

TF: Arguments = {"padding": "same", "epsilon": 1e-3}
RELU: Arguments = {"activation": "relu"}


def inverted(*shape: Any, **more: Any) -> Row:
    """Expansion, kernel, stride, filters, blocks; an expansion of 1 is a depthwise and a 1x1 convolution."""
    return Row("inverted", *shape, **more)


def without(*shape: Any, **more: Any) -> Row:
    """The same in a network with SE elsewhere."""
    return inverted(*shape, **more)._replace(attention=False)


def fused(*shape: Any, **more: Any) -> Row:
    """The same with a convolution in place of the expansion and the depthwise one."""
    return Row("fused", *shape, **more)


def separable(*shape: Any, attention: bool = True) -> Row:
    """Kernel, stride, filters, blocks of MobileNetV1's depthwise separable convolutions."""
    return Row("separable", 1, *shape)._replace(attention=attention, skip=False)


def conv(*shape: Any, skip: bool = False) -> Row:
    """Kernel, stride, filters, blocks."""
    return Row("conv", 1, *shape)._replace(attention=False, skip=skip)


def without_fused(*shape: Any) -> Row:
    """`fused` in a network with SE elsewhere."""
    return fused(*shape, attention=False)


def rounded(channels: float, keep: float = 0.9) -> int:
    """A width of a scaled network."""
    return make_divisible(channels, 8, keep=keep)


def _depths(blocks: Sequence[int], depth: float, rounding: Any) -> list[int]:
    """The blocks of a group's rows, `depth` times as many in sum; the first rows grow last."""
    left, wanted = sum(blocks), max(1, rounding(sum(blocks) * depth))
    found: list[int] = []
    for number in reversed(blocks):
        found.insert(0, max(1, round(number / left * wanted)))
        left, wanted = left - number, wanted - found[0]
    return found


def scaled(
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
    found = []
    for given, factor in zip(groups, factors, strict=True):
        rows = (given,) if isinstance(given, Row) else given
        numbers = _depths([row.blocks for row in rows], factor, rounding)
        found.append(
            tuple(
                row._replace(filters=rounded(row.filters * width, keep), blocks=number)
                for row, number in zip(rows, numbers, strict=True)
            )
        )
    return tuple(found)


def net(groups: Rows, *, stem: int, activation: str, **more: Any) -> Arguments:
    """The arguments of a network of these rows."""
    return {
        "network": InvertedResidualNet,
        "groups": groups,
        "stem_width": stem,
        "activation": activation,
        **more,
    }
