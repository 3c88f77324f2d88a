"""docs/images/placements.svg: where each placement of `chanattn.attention.PLACEMENTS` is in a network.

python -m docs.generate.placements
"""

from pathlib import Path

from chanattn.attention import PLACEMENTS

PICTURE = Path(__file__).resolve().parents[1] / "images" / "placements.svg"

BRANCH = ("1×1", "norm", "act", "3×3", "norm", "act", "1×1", "norm")
"""The residual branch of a bottleneck block; an activation follows the sum."""

IN_BRANCH: dict[str, tuple[int, ...]] = {
    "pre": (0,),
    "pre_conv": (0, 3, 6),
    "before_norms": (1, 4, 7),
    "after_norms": (2, 5, 8),
    "pre_norm": (4,),
    "mid": (6,),
    "post": (8,),
    "identity": (),
    "after_sum": (),
    "conv": (),
}
"""In front of which layers of the branch a mechanism sits; 8 is behind the last one."""

_STYLE = """\
  <style>
    .card { fill: #ffffff } text { fill: #1f2933 } .dim { fill: #52606d }
    .line { stroke: #52606d; stroke-width: 1.5; fill: none } .tip { fill: #52606d }
    .layer { fill: #e8edf3; stroke: #7b8794 } .here { fill: #f28e2b; stroke: #8a4b08 }
    .rule { stroke: #d9dee4 }
    .onmark { fill: #1f1300 }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1f2430 } text { fill: #e4e7eb } .dim { fill: #a5b1bd }
      .line { stroke: #a5b1bd } .tip { fill: #a5b1bd }
      .layer { fill: #364152; stroke: #7b8794 } .here { fill: #f2a65a; stroke: #ffd8a8 }
      .rule { stroke: #3a4353 }
      .onmark { fill: #1f1300 }
    }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
      <path class="tip" d="M0 0 L8 4 L0 8 z"/>
    </marker>
  </defs>"""

_WIDTH, _ROW, _LEFT, _STEP = 960, 84, 300, 62


def _line(path: str) -> str:
    return f'<path class="line" marker-end="url(#tip)" d="{path}"/>'


def _layer(x: float, y: float, text: str, width: float = 42, kind: str = "layer") -> str:
    mark = ' class="onmark"' if kind == "here" else ""
    return (
        f'<rect class="{kind}" x="{x - width / 2:g}" y="{y - 13:g}" width="{width:g}" height="26" rx="4"/>'
        f'<text{mark} x="{x:g}" y="{y + 4:g}" text-anchor="middle" font-size="12">{text}</text>'
    )


def _mark(x: float, y: float) -> str:
    return f'<circle class="here" cx="{x:g}" cy="{y:g}" r="7"/>'


def _sum(x: float, y: float) -> str:
    return (
        f'<circle class="layer" cx="{x:g}" cy="{y:g}" r="10"/>'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" font-size="15">+</text>'
    )


def _block(placement: str, top: float) -> list[str]:
    """One residual block, with marks where the mechanism sits."""
    y, low = top + 28, top + 64
    first = _LEFT + 44

    def gap(number: int) -> float:
        """Middle of what is in front of a layer."""
        return first + number * _STEP - _STEP / 2

    plus, last = first + 8 * _STEP + 4, first + 9 * _STEP - 6
    parts = [
        _line(f"M{_LEFT - 10} {y} H{plus - 10}"),
        _line(f"M{_LEFT} {y} V{low} H{plus} V{y + 11}"),
        _line(f"M{plus + 10} {y} H{_WIDTH - 10}"),
        _sum(plus, y),
        _layer(last, y, "act", 32),
    ]
    for number, text in enumerate(BRANCH):
        x = first + number * _STEP
        if placement == "conv" and number in (3, 4, 5):
            continue
        parts.append(_layer(x, y, text))
    if placement == "conv":
        parts.append(
            _layer(first + 4 * _STEP, y, "SK, split attention, EPSA", 2 * _STEP + 42, "here")
        )
    parts += [_mark(gap(number), y) for number in IN_BRANCH[placement]]
    if placement == "identity":
        parts.append(_mark(first + 3.5 * _STEP, low))
    if placement == "after_sum":
        parts.append(_mark(last + 32, y))
    return parts


def _network(placement: str, top: float) -> list[str]:
    """A network of four stages, with marks where the mechanism sits."""
    y = top + 34
    parts = [_line(f"M{_LEFT - 10} {y} H{_WIDTH - 10}"), _layer(_LEFT + 36, y, "stem", 46)]
    for stage in range(4):
        x = _LEFT + 126 + stage * 112
        parts.append(_layer(x, y, f"stage {stage + 1}", 66))
        if placement == "stage_end" and stage < 3:
            parts.append(_mark(x + 56, y))
    if placement == "head":
        parts.append(_mark(_LEFT + 126 + 3 * 112 + 50, y))
    parts += [_layer(_LEFT + 548, y, "mean", 46), _layer(_LEFT + 610, y, "head", 46)]
    return parts


def _pyramid(top: float) -> list[str]:
    """The head of a dense task, which joins the maps of several stages."""
    y, high = top + 66, top + 22
    parts = [_line(f"M{_LEFT - 10} {y} H{_LEFT + 450}"), _layer(_LEFT + 36, y, "stem", 46)]
    for stage in range(4):
        x = _LEFT + 126 + stage * 112
        parts.append(_layer(x, y, f"stage {stage + 1}", 66))
        if stage == 3:
            parts.append(_line(f"M{x} {y - 13} V{high} H{x - 101}"))
        elif stage:
            parts += [_line(f"M{x} {y - 13} V{high + 11}"), _sum(x, high)]
        if stage == 2:
            parts.append(_line(f"M{x - 10} {high} H{x - 101}"))
        if stage:
            parts.append(_mark(x, (y + high) / 2))
    left = _LEFT + 126 + 112
    parts += [_line(f"M{left - 10} {high} H{left - 62}"), _layer(left - 92, high, "outputs", 58)]
    return parts


def svg() -> str:
    """The picture: a row a placement."""
    height = _ROW * len(PLACEMENTS) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "  <title>The places of attention in a network</title>",
        "  <!-- Written by python -m docs.generate.placements; a test keeps it up to date. -->",
        _STYLE,
        f'  <rect class="card" width="{_WIDTH}" height="{height}" rx="6"/>',
        f'  {_mark(24, 23)}<text x="38" y="28" font-size="13">the mechanism; '
        "above the thick line one bottleneck block, below it a whole network</text>",
    ]
    inside = [name for name in PLACEMENTS if name in IN_BRANCH]
    for row, name in enumerate([*inside, *(n for n in PLACEMENTS if n not in IN_BRANCH)]):
        top = 42 + row * _ROW
        strong = ' style="stroke-width: 2.5"' if row == len(inside) else ""
        drawn = (
            _block(name, top)
            if name in IN_BRANCH
            else _pyramid(top)
            if name == "neck"
            else _network(name, top)
        )
        parts += [
            f'  <path class="rule"{strong} d="M12 {top} H{_WIDTH - 12}"/>',
            f'  <text x="20" y="{top + 26}" font-size="15" font-weight="bold">{name}</text>',
            *(
                f'  <text class="dim" x="20" y="{top + 45 + 15 * number}" font-size="12">{line}</text>'
                for number, line in enumerate(_wrapped(PLACEMENTS[name]))
            ),
            *(f"  {part}" for part in drawn),
        ]
    return "\n".join([*parts, "</svg>", ""])


def _wrapped(text: str, width: int = 42) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
