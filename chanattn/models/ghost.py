"""The rows of GhostNet and RepGhost; part of `chanattn.models.architectures`. Papers: see `ghost_blocks`."""

from typing import Any

from chanattn.attention.widths import make_divisible
from chanattn.models.inverted_residual import Row
from chanattn.models.rows import Arguments, Rows, conv, net

# Kernel, width of the branch, filters, stride, SE; table 1 of the paper (RepGhost: half of the widths).
_TABLE = (
    ((3, 16, 16, 1, False),),
    ((3, 48, 24, 2, False),),
    ((3, 72, 24, 1, False),),
    ((5, 72, 40, 2, True),),
    ((5, 120, 40, 1, True),),
    ((3, 240, 80, 2, False),),
    (
        (3, 200, 80, 1, False),
        (3, 184, 80, 1, False),
        (3, 184, 80, 1, False),
        (3, 480, 112, 1, True),
        (3, 672, 112, 1, True),
    ),
    ((5, 672, 160, 2, True),),
    (
        (5, 960, 160, 1, False),
        (5, 960, 160, 1, True),
        (5, 960, 160, 1, False),
        (5, 960, 160, 1, True),
    ),
)
_REP_WIDTHS = {184: 240}  # where RepGhost's are not half of GhostNet's


def _width(channels: float) -> int:
    return make_divisible(channels, 4, keep=0.9)


def _rows(width: float, first: str, kind: str, widths: dict[int, int], share: float) -> Rows:
    """The first two blocks are of another kind (version 2)."""
    number, groups = 0, []
    for group in _TABLE:
        rows = []
        for kernel, of_branch, filters, stride, attention in group:
            row = Row(first if number < 2 else kind, 0, kernel, stride, _width(filters * width), 1)
            inner = _width(widths.get(of_branch, of_branch) * share * width)
            rows.append(row._replace(width=inner, attention=attention))
            number += 1
        groups.append(tuple(rows))
    return (*groups, (conv(1, 1, _width(960 * width), 1),))


def _net(width: float, rows: Rows) -> dict[str, Any]:
    return net(rows, stem=_width(16 * width), activation="relu", pooled_features=1280)


def _ghostnet(width: float, kind: str = "ghost") -> Arguments:
    return _net(width, _rows(width, "ghost", kind, {}, 1.0))


def _repghost(width: float) -> Arguments:
    return _net(width, _rows(width, "repghost", "repghost", _REP_WIDTHS, 0.5))


GHOSTS: dict[str, Arguments] = {
    **{f"ghostnet_{w:03}": _ghostnet(w / 100) for w in (50, 100, 130)},
    **{f"ghostnetv2_{w:03}": _ghostnet(w / 100, "ghost_v2") for w in (100, 130, 160)},
    **{f"repghostnet_{w:03}": _repghost(w / 100) for w in (50, 58, 80, 100, 111, 130, 150, 200)},
}
