"""Small PNGs of the pictures that an inspection names."""

from collections.abc import Iterable

import cv2
import numpy as np

from chanattn.data.decode import CorruptImage, Decoding
from chanattn.data.source import Record, Source
from chanattn.prediction.predictor import in_colours
from chanattn.prediction.sheet import encoded

SIDE = 48
_AT_ONCE = 64


def thumbnails(source: Source, numbers: Iterable[int], side: int = SIDE) -> dict[int, bytes]:
    """Pictures of a source by their position, at most `side` pixels on a side; what is unreadable lacks."""
    wanted, found = list(numbers), {}
    with Decoding():
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            for number, record in zip(some, source.read(some), strict=True):
                if not isinstance(record, Record):
                    continue
                try:
                    pixels = in_colours(record)
                except CorruptImage:
                    continue
                found[number] = encoded(_small(np.ascontiguousarray(pixels), side))
    return found


def _small(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return pixels
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
