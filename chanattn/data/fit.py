"""One stored picture to pixels of the size asked for: decode, crop, resize. Free of JAX.

Random resized crop: C. Szegedy et al., "Going deeper with convolutions", 2015, section 6; areas and aspect
ratios as in torchvision.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from chanattn.data.decode import REDUCTIONS, decode, jpeg_size
from chanattn.data.fields import Placement
from chanattn.random_streams import generator

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10

#: What decides a random crop: the seed of the run, and whole numbers that tell this crop from others.
Seed = tuple[int, ...]


class WrongSize(ValueError):
    """A picture of another size than the first, where no common size was asked for."""


class Box(NamedTuple):
    """A rectangle in pixels. It may reach beyond the picture: what is outside becomes padding."""

    top: int
    left: int
    height: int
    width: int


def image_size(wanted: int | Sequence[int]) -> tuple[int, int] | None:
    """(height, width) that `config.dataset.image_size` says: one number for squares, or both; None for 0."""
    if isinstance(wanted, Sequence):
        height, width = wanted
        return height, width
    return (wanted, wanted) if wanted else None


@dataclasses.dataclass(frozen=True)
class Fit:
    """Brings a stored picture to `shape`; one that has that size already is taken as it is, unless `random`.

    Attributes:
        shape: (H, W, C) of the result.
        resize: False: the picture must have that size already.
        crop: Side of the centre crop as a fraction of the shorter side, in (0, 1].
        random: Take a random box of 8-100 % of the area instead of the centre crop.
        letterbox: Take the whole picture instead, with its aspect ratio (to a pixel), and pad what is missing
            at the bottom or on the right.
        fill: Colour of the padding, a value a channel.
    """

    shape: tuple[int, int, int]
    resize: bool
    crop: float = 1.0
    random: bool = False
    letterbox: bool = False
    fill: tuple[int, ...] = (0,)

    def __call__(
        self, image: bytes | np.ndarray, seed: Seed = (0,)
    ) -> tuple[np.ndarray, Placement]:
        """The picture as (H, W, C) uint8, and where it lies in that; `seed` decides about a random crop.

        Raises:
            CorruptImage: It cannot be decoded.
            WrongSize: It would have to be resized and `resize` is False.
        """
        height, width, channels = self.shape
        if not self.resize:
            pixels = decode(image, channels) if isinstance(image, bytes) else image
            if pixels.shape != self.shape:
                raise WrongSize(f"is {pixels.shape[0]}x{pixels.shape[1]}, not {height}x{width}")
            return pixels, self._as_stored

        stored: tuple[int, int] | None = None
        if isinstance(image, bytes):
            stored = jpeg_size(image)
            if stored is None:  # Only JPEGs gain from knowing the box before decoding.
                image = decode(image, channels)
        if isinstance(image, np.ndarray):
            stored = image.shape[0], image.shape[1]
        assert stored is not None
        box = self._box(stored, seed)
        reduction = self._reduction(box)
        box = _snap(box, reduction, stored)
        scale = height / box.height, width / box.width
        placement = Placement(stored, (height, width), box.top, box.left, *scale)
        if isinstance(image, bytes):
            image = decode(image, channels, reduction)
            box = Box(*(-(-edge // reduction) for edge in box))
        return _resize(_cut(image, box, self.fill), height, width), placement

    @functools.cached_property
    def _as_stored(self) -> Placement:
        height, width, _ = self.shape
        return Placement((height, width), (height, width))

    def _reduction(self, box: Box) -> int:
        """The largest reduction that leaves enough pixels, and does not move a box that is not random."""
        for r in REDUCTIONS:
            enough = box.height >= r * self.shape[0] and box.width >= r * self.shape[1]
            if enough and (self.random or not any(edge % r for edge in box)):
                return r
        return 1

    def _box(self, stored: tuple[int, int], seed: Seed) -> Box:
        if self.random:
            return random_box(stored, generator(seed[0], "crop", *seed[1:]))
        if stored == self.shape[:2]:
            return Box(0, 0, *stored)
        if self.letterbox:
            return letterbox(stored, self.shape[:2])
        return centre_box(stored, self.crop, aspect=self.shape[1] / self.shape[0])


def random_box(size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box of random area and aspect ratio; after ten that do not fit, the largest central one.

    Args:
        size: (height, width) of the picture.
        rng: Source of randomness.
    """
    height, width = size
    for _ in range(_ATTEMPTS):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            return Box(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    return centre_box(size, 1.0, aspect=min(max(width / height, ASPECT[0]), ASPECT[1]))


def centre_box(size: tuple[int, int], fraction: float, aspect: float = 1.0) -> Box:
    """The central box of the given aspect ratio (width / height), `fraction` of the largest that fits."""
    height, width = size
    h = fraction * min(height, width / aspect)
    h, w = max(1, round(h)), max(1, round(h * aspect))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def letterbox(size: tuple[int, int], wanted: tuple[int, int]) -> Box:
    """The smallest box of the aspect ratio of `wanted` that holds a whole picture of `size` in its corner."""
    (height, width), (h, w) = size, wanted
    if height * w >= width * h:
        return Box(0, 0, height, max(width, round(height * w / h)))
    return Box(0, 0, max(height, round(width * h / w)), width)


def _snap(box: Box, step: int, size: tuple[int, int]) -> Box:
    """The box with its edges moved outwards to multiples of `step`, or to the end of the picture.

    So the box lies on whole pixels of the reduced picture, and is the same however the picture is stored. It
    grows by less than one pixel of the result.
    """

    def snapped(edge: int, end: int) -> int:
        outwards = -(-edge // step) * step
        return min(outwards, end) if edge <= end else outwards

    top, left = box.top // step * step, box.left // step * step
    bottom = snapped(box.top + box.height, size[0])
    right = snapped(box.left + box.width, size[1])
    return Box(top, left, bottom - top, right - left)


def _cut(image: np.ndarray, box: Box, fill: tuple[int, ...]) -> np.ndarray:
    height, width, channels = image.shape
    (top, left), bottom, right = box[:2], box.top + box.height, box.left + box.width
    if min(top, left) >= 0 and bottom <= height and right <= width:
        return image[top:bottom, left:right]
    padded = np.empty((box.height, box.width, channels), image.dtype)
    padded[:] = fill
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    padded[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return padded


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    # Averaging over the area avoids aliasing where the picture shrinks.
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # OpenCV drops the axis of a single channel.
    return cv2.resize(image, (width, height), interpolation=interpolation).reshape(
        height, width, -1
    )
