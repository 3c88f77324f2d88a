"""Examples with their answers as one picture: drawings beside and below each other, headings, a legend."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from chanattn.labels import IN_PICTURES, for_picture, labels
from chanattn.tasks.label_maps import hatched
from chanattn.tasks.task import Colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100
_GAP = 6  # pixels between drawings
_LINE = 22  # pixels of a line of text
_ENTRY = 230  # pixels of a name of `IN_PICTURES` characters in the legend, with its colour
_LEAST_WIDTH = 400  # pixels, for the legend
_WHITE = 255


def sheet(
    drawn: Sequence[Mapping[str, np.ndarray]], legend: Mapping[str, Colour], side: int = 0
) -> np.ndarray:
    """One picture of several.

    Args:
        drawn: a row an example: its pictures (H, W, 3) uint8 by their headings, the same in all rows.
        legend: names with their colours, see `chanattn.tasks.Task.legend`.
        side: longest side of each picture, in pixels; larger ones are reduced. 0: none is.

    Returns:
        (H, W, 3) uint8; a single picture without heading and legend as it is.
    """
    headings = list(drawn[0])
    if len(drawn) == 1 and headings == [""] and not legend:
        return drawn[0][""]
    rows = [[_at_most(row[heading], side) for heading in headings] for row in drawn]
    widths = [max(picture.shape[1] for picture in column) for column in zip(*rows, strict=True)]
    strips = [_beside(row, widths) for row in rows]
    width = max(_LEAST_WIDTH, strips[0].shape[1])
    if any(headings):
        strips = [_headings(headings, widths, width), *strips]
    if legend:
        strips.append(_legend(legend, width))
    return np.concatenate([_padded(strip, strip.shape[0] + _GAP, width) for strip in strips])


def encoded(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as PNG."""
    png: bytes = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return png


def _at_most(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if not side or max(height, width) <= side:
        return picture
    share = side / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _beside(row: Sequence[np.ndarray], widths: Sequence[int]) -> np.ndarray:
    height = max(picture.shape[0] for picture in row)
    cells = [_padded(p, height, w + _GAP) for p, w in zip(row, widths, strict=True)]
    return np.concatenate(cells, axis=1)[:, :-_GAP]


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    below, right = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=_WHITE)


def _headings(headings: Sequence[str], widths: Sequence[int], width: int) -> np.ndarray:
    figure = _figure(width, _LINE)
    left = 0
    for heading, own in zip(headings, widths, strict=True):
        place = (left + own / 2) / width
        figure.text(place, 0.5, for_picture(heading), fontsize=10, ha="center", va="center")
        left += own + _GAP
    return _pixels(figure)


def _legend(legend: Mapping[str, Colour], width: int) -> np.ndarray:
    columns = max(1, width // _ENTRY)
    lines = math.ceil(len(legend) / columns)
    height = lines * _LINE
    figure = _figure(width, height)
    shown_as = labels(legend, IN_PICTURES)
    boxes = []
    for number, (name, colour) in enumerate(legend.items()):
        line, column = divmod(number, columns)
        left, top = column * _ENTRY, line * _LINE
        boxes.append((left, top, colour))
        place = (left + 30) / width, 1 - (top + _LINE / 2) / height
        figure.text(*place, for_picture(shown_as[name]), fontsize=9, va="center")
    pixels = _pixels(figure)
    for left, top, colour in boxes:
        swatch = pixels[top + 3 : top + _LINE - 3, left + 2 : left + 26]
        swatch[:] = 0  # a frame, so that pale colours are seen
        inner = swatch[1:-1, 1:-1]
        inner[:] = hatched(*inner.shape[:2]) if colour is None else colour
    return pixels


def _figure(width: int, height: int) -> "Figure":
    from matplotlib.figure import Figure  # takes a while

    return Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)


def _pixels(figure: "Figure") -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
