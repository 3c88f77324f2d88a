"""How tasks draw what they answered on a picture."""

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from chanattn.labels import IN_PICTURES, for_picture, labels

_DPI = 100
_WIDTH = 4.0  # inches, of the whole
_HEIGHTS = 0.8, 6.0  # inches, of the picture in it
_BAR = 0.24  # inches
_MARGIN = 0.1  # inches
_NAMES = 0.5  # of the width, beside the bars
_MOST_PIXELS = 1200  # a side; more would not be seen


def above_bars(picture: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    """A picture, and below it a bar for each share.

    Args:
        picture: (H, W, 3) uint8.
        shares: By name, each from 0 to 1; the first is emphasised.

    Returns:
        (H', W', 3) uint8, about 400 pixels wide.
    """
    height, width = picture.shape[:2]
    step = -(-max(height, width) // _MOST_PIXELS)
    above = min(max(_WIDTH * height / width, _HEIGHTS[0]), _HEIGHTS[1])
    below = _BAR * len(shares)
    total = above + below + 2 * _MARGIN
    figure = Figure(figsize=(_WIDTH, total), dpi=_DPI)
    axes = figure.add_axes((0, 1 - above / total, 1, above / total))
    axes.imshow(picture[::step, ::step])
    axes.set_axis_off()

    axes = figure.add_axes((_NAMES, _MARGIN / total, 1 - _NAMES, below / total))
    names = [for_picture(name) for name in labels(shares, IN_PICTURES).values()]
    places = range(len(shares))
    axes.barh(places, list(shares.values()), color=["#0072b2", *["#9fb8c8"] * (len(shares) - 1)])
    for y, share in enumerate(shares.values()):
        axes.text(share + 0.02, y, f"{share:.1%}", va="center", fontsize=9)
    axes.set_yticks(places, names, fontsize=9)
    axes.set_xlim(0, 1.4)  # room for the numbers
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
