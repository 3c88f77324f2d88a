"""Label maps as pictures: one palette, colours over a picture, and PNG files of class numbers."""

import colorsys
import io

import cv2
import numpy as np
from PIL import Image

NO_CLASS = "no class"
#: How much of a pixel is the colour of its class; the rest is the picture in grey.
OPACITY = 0.65
#: Pixels of the longer side of a drawing: small pictures are enlarged by whole factors, large ones reduced.
LEAST, MOST = 256, 1200
_STRIPE = 4  # pixels of the hatching
_GOLDEN = (5**0.5 - 1) / 2
# Twenty that differ in hue or brightness: S. Trubetskoy, "List of 20 simple, distinct colors".
_FIRST = (
    *("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6"),
    *("#bfef45", "#fabed4", "#469990", "#9a6324", "#dcbeff", "#800000", "#aaffc3", "#808000"),
    *("#ffd8b1", "#000075", "#a9a9a9", "#fffac8"),
)


def palette(classes: int) -> np.ndarray:
    """The colours of the classes by number, the same however many there are: (classes, 3) uint8."""
    return np.array([_colour(label) for label in range(classes)], np.uint8).reshape(-1, 3)


def seen(picture: np.ndarray, least: int = LEAST) -> np.ndarray:
    """A picture (H, W, 3) uint8 at a size at which it can be looked at.

    Args:
        picture: of any size.
        least: pixels of its longer side, up to which it is enlarged by a whole factor.
    """
    height, width = picture.shape[:2]
    factor = max(1, least // max(height, width))
    if factor > 1:
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)
    if max(height, width) <= MOST:
        return np.ascontiguousarray(picture)
    rows, columns = _reduced(height, width)
    return cv2.resize(np.ascontiguousarray(picture), (columns, rows), interpolation=cv2.INTER_AREA)


def overlay(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The classes of the pixels as colours over a picture, at the size of `seen`.

    The picture is grey below, so that a colour is that of the class in every light.

    Args:
        picture: (H, W, 3) uint8.
        labels: (H, W) class numbers; negative: none, which is hatched.
    """
    base = seen(picture)
    rows, columns = base.shape[:2]
    y, x = (
        (np.arange(now) * 2 + 1) * before // (2 * now)
        for now, before in zip((rows, columns), labels.shape, strict=True)
    )
    labels = labels[y][:, x].astype(np.int64)
    void = labels < 0
    colours = palette(int(labels.max(initial=0)) + 1)[np.maximum(labels, 0)]
    grey = cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)[..., None]
    mixed = np.rint(OPACITY * colours + (1 - OPACITY) * grey).astype(np.uint8)
    return np.where(void[..., None], hatched(rows, columns), mixed)


def hatched(height: int, width: int) -> np.ndarray:
    """Diagonal stripes in white and grey: (H, W, 3) uint8."""
    y, x = np.indices((height, width), sparse=True)
    dark = ((y + x) // _STRIPE % 2)[..., None] == 0
    return np.where(dark, np.uint8(120), np.uint8(255)).repeat(3, axis=2)


def encoded(labels: np.ndarray) -> bytes:
    """A label map (H, W) as PNG: its numbers, with the palette where they are uint8."""
    if labels.dtype == np.uint8:
        image = Image.fromarray(labels)
        image.putpalette(palette(256).tobytes())  # makes it one of mode P, with the same numbers
    else:
        image = Image.fromarray(labels.astype(np.uint16))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _colour(label: int) -> tuple[int, ...]:
    if label < len(_FIRST):
        return tuple(bytes.fromhex(_FIRST[label][1:]))
    # Hues that divide what is left of the circle in the golden ratio, in three strengths.
    strength = (0.9, 0.55, 0.75)[label % 3], (0.6, 0.95, 0.8)[label % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(label * _GOLDEN % 1, *strength))


def _reduced(height: int, width: int) -> tuple[int, int]:
    share = MOST / max(height, width)
    return max(1, round(height * share)), max(1, round(width * share))
