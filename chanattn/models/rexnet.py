"""The rows of ReXNet; part of `chanattn.models.architectures`. Paper: see `rex_block`.

Widths grow by the same step from block to block. Those of `rexnetr` are multiples of 8, of `_300` of 16
(timm).
"""

from chanattn.attention.widths import make_divisible
from chanattn.models.inverted_residual import Row
from chanattn.models.rows import Arguments, net

_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (5, 2))  # blocks, stride of the first
_FIRST, _GROWTH, _STEM, _FINAL = 16, 180, 32, 1280


def _rexnet(width: float, divisor: int = 1) -> Arguments:
    """There is no expansion in the first block, and attention from the fourth on."""

    def rounded(channels: float) -> int:
        return make_divisible(channels, divisor, keep=0.9)

    strides = [s if i == 0 else 1 for blocks, s in _STAGES for i in range(blocks)]
    stem = rounded(round(_STEM * width))
    rows, inputs, base = [], stem, float(_FIRST)
    for number, stride in enumerate(strides):
        filters = rounded(round(base * width))
        row = Row("rexnet", 6 if number else 1, 3, stride, filters, 1)
        rows.append((row._replace(width=rounded(6 * inputs), attention=number > 2),))
        inputs, base = filters, base + _GROWTH / len(strides)
    final = rounded(_FINAL * width)
    return net(tuple(rows), stem=stem, activation="silu", num_features=final)


_WIDTHS = (100, 130, 150, 200, 300)

REXNETS: dict[str, Arguments] = {
    **{f"rexnet_{w}": _rexnet(w / 100) for w in _WIDTHS},
    **{f"rexnetr_{w}": _rexnet(w / 100, 16 if w == 300 else 8) for w in _WIDTHS},
}
