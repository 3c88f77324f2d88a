"""A picture with its captions under it; beside it what the decoder looked at before every word."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chanattn.labels import drawable, font, one_line

#: Pixels of the longer side of the picture, and of those with attention maps.
SIDE, TILE = 400, 116
ACROSS = 6  # words in a row at most
_GAP = 10  # pixels between words, and around texts
_DIMMED = 0.4  # how bright a place is that was not looked at
_PALE = 0.15  # how much white lies over one that was, so that dark ones are seen
_BLACK, _GREY, _WHITE = (0, 0, 0), (115, 115, 115), (255, 255, 255)
_BETWEEN = 1.35  # from one line to the next, of the size of the letters
_END = "(end)"
_BRIGHT = "bright: where the decoder looked before the word"
_STRONGEST = "#: strongest channels, with their weights (mean 1)"


class _Text(NamedTuple):
    """Texts of one size and colour."""

    size: int
    colour: tuple[int, int, int] = _BLACK

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        return font(self.size)

    @property
    def height(self) -> int:
        """Of a line, in pixels."""
        return round(_BETWEEN * self.size)

    def wrapped(self, text: str, width: int) -> list[str]:
        """A text as lines that are at most so many pixels wide."""
        lines = [""]
        for word in drawable(one_line(text)).split():
            longer = f"{lines[-1]} {word}".strip()
            if self.font.getlength(longer) <= width:
                lines[-1] = longer
                continue
            while self.font.getlength(word) > width and len(word) > 1:
                fits = max(1, len(self._cut(word, width)))
                lines.append(word[:fits])
                word = word[fits:]
            lines.append(word)
        return [line for line in lines if line]

    def shortened(self, word: str, width: int) -> str:
        """A word on one line."""
        word = drawable(one_line(word))
        if self.font.getlength(word) <= width:
            return word
        return self._cut(word, width - round(self.font.getlength("…"))) + "…"

    def _cut(self, word: str, width: int) -> str:
        while word and self.font.getlength(word) > width:
            word = word[:-1]
        return word


_CAPTION, _REFERENCE = _Text(17), _Text(13, _GREY)
_WORD, _LAST, _CHANNEL = _Text(13), _Text(13, _GREY), _Text(11, _GREY)


def draw(example: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The picture with the caption under it, and its own captions in grey; see `Task.draw`.

    Beside it, if the answer tells that, a small picture for every word, at most `ACROSS` in a row: bright is
    where the decoder looked before the word, compared with the place where it looked most, and under it are
    the numbers of the channels that it weighed most.

    Args:
        example: `image` and, where they are known, `captions`, as they are written.
        told: What `chanattn.tasks.captioning.Captioning.told` gave.
    """
    drawn = _with_captions(example["image"], told["caption"], example.get("captions", ()))
    words = _words(example["image"], told)
    if words is not None:
        drawn = np.concatenate([_padded(drawn, words, 2 * _GAP), _padded(words, drawn, 0)], axis=1)
    return {"": drawn}


def _with_captions(picture: np.ndarray, caption: str, references: Sequence[str]) -> np.ndarray:
    picture = _fitted(picture, SIDE)
    width = SIDE - 2 * _GAP
    lines = [(_CAPTION, line) for line in _CAPTION.wrapped(caption or "(no words)", width)]
    for text in references:
        lines += [(_REFERENCE, line) for line in _REFERENCE.wrapped(text, width)]
    y = picture.shape[0] + _GAP // 2
    canvas = Image.new("RGB", (SIDE, y + sum(kind.height for kind, _ in lines) + _GAP), _WHITE)
    canvas.paste(Image.fromarray(picture), ((SIDE - picture.shape[1]) // 2, 0))
    brush = ImageDraw.Draw(canvas)
    for kind, line in lines:
        brush.text((_GAP, y), line, kind.colour, kind.font)
        y += kind.height
    return np.array(canvas)


def _words(picture: np.ndarray, told: Mapping[str, Any]) -> np.ndarray | None:
    """A cell for every word, and for the end where the caption has one; None: nothing is told of them."""
    maps, channels = told.get("looked"), told.get("channels")
    rows = [array for array in (maps, channels) if array is not None]
    if not rows:
        return None
    words = [(_WORD, word) for word in told["words"]]
    if len(words) < len(rows[0]):
        words.append((_LAST, _END))
    part = _fitted(_part(picture, told.get("part")), TILE)
    high = 0 if maps is None else part.shape[0]
    strongest = 0 if channels is None else channels.shape[1]
    step = _WORD.height + high + strongest * _CHANNEL.height + _GAP
    lines = -(-len(words) // ACROSS)
    across = -(-len(words) // lines)  # rows of about the same length
    width, bottom = ACROSS * (TILE + _GAP), lines * step
    canvas = Image.new("RGB", (width, bottom + _CHANNEL.height), _WHITE)
    brush = ImageDraw.Draw(canvas)

    def centred(kind: _Text, text: str, middle: float, y: int) -> None:
        brush.text((middle, y), text, kind.colour, kind.font, anchor="ma")

    for number, (kind, word) in enumerate(words):
        line, column = divmod(number, across)
        left, y = column * (TILE + _GAP), line * step
        middle = left + TILE / 2
        centred(kind, kind.shortened(word, TILE), middle, y)
        y += _WORD.height
        if maps is not None:
            tile = Image.fromarray(_lit(part, maps[number]))
            canvas.paste(tile, (left + (TILE - tile.width) // 2, y))
            y += high
        if channels is not None:
            weights = told["channel_weights"][number]
            for channel, weight in zip(channels[number], weights, strict=True):
                centred(_CHANNEL, f"#{channel}  ×{weight:.2f}", middle, y)
                y += _CHANNEL.height
    notes = [*([_BRIGHT] if maps is not None else []), *([_STRONGEST] if strongest else [])]
    brush.text((0, bottom), "; ".join(notes), _CHANNEL.colour, _CHANNEL.font)
    return np.array(canvas)


def _part(picture: np.ndarray, corners: np.ndarray | None) -> np.ndarray:
    """What the network saw of a picture; corners: x0, y0, x1, y1 in its pixels."""
    if corners is None:
        return picture
    x0, y0 = np.floor(corners[:2]).astype(int).tolist()
    x1, y1 = np.ceil(corners[2:]).astype(int).tolist()
    return picture[y0:y1, x0:x1]


def _lit(picture: np.ndarray, looked: np.ndarray) -> np.ndarray:
    """A picture that is bright where it was looked at, else grey and dim; looked: (h, w), of any size."""
    height, width = picture.shape[:2]
    peak = float(looked.max())
    shares = np.asarray(looked, np.float32) / (peak if peak > 0 else 1.0)
    smooth = cv2.resize(shares, (width, height), interpolation=cv2.INTER_CUBIC)
    light = np.clip(smooth, 0, 1)[..., None]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    bright = _PALE * np.float32(255) + (1 - _PALE) * picture
    return np.rint(light * bright + (1 - light) * (_DIMMED * grey)).astype(np.uint8)


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side has so many pixels; those of a small one stay seen."""
    factor = -(-side // max(picture.shape[:2]))
    share = side / max(picture.shape[:2])
    height, width = (max(1, round(length * share)) for length in picture.shape[:2])
    large = np.ascontiguousarray(picture).repeat(factor, axis=0).repeat(factor, axis=1)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


def _padded(picture: np.ndarray, other: np.ndarray, right: int) -> np.ndarray:
    """A picture on white, as high as another one at least."""
    below = max(0, other.shape[0] - picture.shape[0])
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=_WHITE[0])
