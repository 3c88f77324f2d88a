"""How a variant looks, the same in all pictures, and what the pictures have in common."""

import dataclasses
import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from chanattn.labels import IN_PICTURES, for_picture, labels
from chanattn.report.comparison import Row

BASELINE = "#444444"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7b3fb5")
"""Those of Okabe and Ito, which the colour-blind tell apart, without black and yellow, and two more."""
MARKERS = "oD^vPX<>hp*"

WIDTH = 9.0  # inches of a picture
DPI = 130


@dataclasses.dataclass(frozen=True)
class Look:
    """Colour, marker and label of a variant."""

    colour: str
    marker: str
    label: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        name: of its file, without the ending.
        title: above it on the page.
        alt: what it shows, for those who do not see it.
        png: the file's content.
    """

    name: str
    title: str
    alt: str
    png: bytes


def looks(rows: Sequence[Row]) -> list[Look]:
    """A look a row; incomplete ones have their count of seeds in the label."""
    short = labels((row.variant.name for row in rows), IN_PICTURES)
    found, number = [], 0
    for row in rows:
        label = for_picture(short[row.variant.name])
        if not row.complete:
            label += f" ({len(row.values)}/{row.planned})"
        if row.is_baseline:
            found.append(Look(BASELINE, "s", label))
        else:
            colour = COLOURS[number % len(COLOURS)]
            found.append(Look(colour, MARKERS[number % len(MARKERS)], label))
            number += 1
    return found


def dress(axes: Axes) -> None:
    """A light grid, and no frame on the right and above."""
    axes.grid(alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def name_rows(axes: Axes, shown: Sequence[Look]) -> None:
    """One line of the vertical axis a variant, the first one on top."""
    axes.set_yticks(range(len(shown)), [look.label for look in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def text_width(label: str, size: float) -> float:
    """Width of a label in points (1/72 inch) at a font size of `size` points."""
    return float(TextPath((0, 0), label or " ", size=size).get_extents().width)


def png(figure: Figure) -> bytes:
    """The picture as a file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()
