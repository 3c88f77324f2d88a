"""Sentences as words."""

import re
import unicodedata

#: What the Penn Treebank splits off a word.
_ENDINGS = r"(?=n't\b)|(?='(?:s|m|d|re|ve|ll)\b)"
_SPLIT = re.compile(_ENDINGS)
#: Accents and vowel signs that are characters of their own, in any script; and what selects a form of a sign.
_MARKS = "".join(
    c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c) in ("Mn", "Mc", "Me")
)
_LETTER = rf"[\w{_MARKS}\u200c\u200d]"  # joiners are part of words and of emoji
_SIGN = rf"[^\w\s][{_MARKS}\U0001f3fb-\U0001f3ff]*"
#: A number, a word with its hyphens and inner apostrophes, an abbreviation, a flag, or one sign or emoji.
_TOKEN = re.compile(
    rf"(?:[^\W\d]\.){{2,}}|\d+(?:[.,:/]\d+)*(?:[-{_LETTER[1:]}+)*|'?\w{_LETTER}*(?:[-'&]\w{_LETTER}*)*"
    rf"|[\U0001f1e6-\U0001f1ff]{{2}}|{_SIGN}(?:\u200d{_SIGN})*"
)
_KEPT = "&%#@*/"  # signs of punctuation that stay words


def tokenize(text: str) -> list[str]:
    """Lower-case words: the tokens of the Penn Treebank without punctuation, as COCO scores captions.

    Endings are words of their own ("isn't": "is", "n't"; "dog's": "dog", "'s"), "cannot" is two, and words
    with hyphens stay one. Any script is kept, and an emoji of several characters is one word.
    """
    text = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    text = re.sub(r"\bcannot\b", "can not", text)
    pieces = (piece for part in text.split() for piece in _SPLIT.split(part))
    tokens = (token for piece in pieces for token in _TOKEN.findall(piece))
    return [token for token in tokens if not _punctuation(token)]


def _punctuation(token: str) -> bool:
    """Whether there is nothing to be read in it; marks of the direction of writing are invisible."""
    kinds = ((sign, unicodedata.category(sign)) for sign in token)
    return all(kind == "Cf" or (kind[0] == "P" and sign not in _KEPT) for sign, kind in kinds)
