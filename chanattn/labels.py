"""Names of variants and classes, which may be any text, as labels: one line, bounded, still distinct."""

import functools
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont

IN_TABLES = 60
IN_PICTURES = 26

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"  # parts of emoji and of some scripts
_NO_GLYPH = "\u25a1"


def one_line(text: str) -> str:
    """Without line breaks, control characters, and marks that turn the direction of what follows."""
    return " ".join("".join(map(_visible, text)).split())


def labels(names: Iterable[str], limit: int = IN_TABLES) -> dict[str, str]:
    """A label for each name: one line of at most about `limit` characters, no two alike."""
    found: dict[str, str] = {}
    for name in names:
        base = label = _shorten(one_line(name) or "(no name)", limit)
        count = 1
        while label in found.values():
            count += 1
            label = f"{base} #{count}"
        found[name] = label
    return found


def for_picture(label: str) -> str:
    """A label that Matplotlib draws as it stands: no formulae, no glyphs that its font lacks.

    One that begins with an underline would be left out of legends, so a space comes first.
    """
    drawn = drawable(label)
    return (" " if drawn.startswith("_") else "") + drawn.replace("$", r"\$")


def drawable(text: str) -> str:
    """A text with a box for every character that the font of pictures lacks."""
    glyphs = _glyphs()
    return "".join(
        char if ord(char) in glyphs else _NO_GLYPH for char in text if char not in _JOINERS
    )


@functools.cache
def font(size: int) -> "ImageFont.FreeTypeFont":
    """The font of pictures for Pillow, with letters of so many pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(_font_file(), size)


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def _visible(char: str) -> str:
    if char in _JOINERS:
        return char
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs", "Co") else char


@functools.cache
def _glyphs() -> frozenset[int]:
    from matplotlib import ft2font

    return frozenset(ft2font.FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    from matplotlib import font_manager  # takes a while; labels of tables need none

    path: str = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans"))
    return path
