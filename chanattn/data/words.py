"""Sentences as words."""

import functools
import re
import unicodedata

#: What the Penn Treebank splits off a word.
_ENDINGS = r"(?=n't\b)|(?='(?:s|m|d|re|ve|ll)\b)"
_SPLIT = re.compile(_ENDINGS)
_KEPT = "&%#@*/"  # signs of punctuation that stay words


def tokenize(text: str) -> list[str]:
    """Lower-case words: the tokens of the Penn Treebank without punctuation, as COCO scores captions.

    Endings are words of their own ("isn't": "is", "n't"; "dog's": "dog", "'s"), "cannot" is two, and words
    with hyphens stay one. Any script is kept, and an emoji of several characters is one word.
    """
    text = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    text = re.sub(r"\bcannot\b", "can not", text)
    pieces = (piece for part in text.split() for piece in _SPLIT.split(part))
    tokens = (token for piece in pieces for token in _token().findall(piece))
    return [token for token in tokens if not _punctuation(token)]


@functools.cache  # made where captions are read: it takes as long as importing a library
def _token() -> re.Pattern[str]:
    """A number, a word with its hyphens and inner apostrophes, an abbreviation, a flag, a sign, an emoji."""
    characters = map(chr, range(0x300, 0x20000))
    # Accents and vowel signs that are characters of their own in any script, and what selects forms of signs.
    marks = "".join(c for c in characters if unicodedata.category(c) in ("Mn", "Mc", "Me"))
    letter = rf"[\w{marks}\u200c\u200d]"  # joiners are part of words and of emoji
    sign = rf"[^\w\s][{marks}\U0001f3fb-\U0001f3ff]*"
    return re.compile(
        rf"(?:[^\W\d]\.){{2,}}|\d+(?:[.,:/]\d+)*(?:[-{letter[1:]}+)*|'?\w{letter}*(?:[-'&]\w{letter}*)*"
        rf"|[\U0001f1e6-\U0001f1ff]{{2}}|{sign}(?:\u200d{sign})*"
    )


def _punctuation(token: str) -> bool:
    """Whether there is nothing to be read in it; marks of the direction of writing are invisible."""
    kinds = ((sign, unicodedata.category(sign)) for sign in token)
    return all(kind == "Cf" or (kind[0] == "P" and sign not in _KEPT) for sign, kind in kinds)
