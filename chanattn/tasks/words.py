"""Sentences as words."""

import re
import unicodedata

#: What the Penn Treebank splits off a word.
_ENDINGS = r"(?=n't\b)|(?='(?:s|m|d|re|ve|ll)\b)"
_SPLIT = re.compile(_ENDINGS)
#: A number, a word with its hyphens and inner apostrophes, an abbreviation, or one sign.
_TOKEN = re.compile(r"(?:[^\W\d]\.){2,}|\d+(?:[.,:/]\d+)*(?:[-\w]+)*|'?\w+(?:[-'&]\w+)*|[^\w\s]")
_KEPT = "&%#@*/"  # signs of punctuation that stay words


def tokenize(text: str) -> list[str]:
    """Lower-case words: the tokens of the Penn Treebank without punctuation, as COCO scores captions.

    Endings are words of their own ("isn't": "is", "n't"; "dog's": "dog", "'s"), "cannot" is two, and words
    with hyphens stay one. Any script is kept.
    """
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"\bcannot\b", "can not", text)
    pieces = (piece for part in text.split() for piece in _SPLIT.split(part))
    tokens = (token for piece in pieces for token in _TOKEN.findall(piece))
    return [token for token in tokens if not _punctuation(token)]


def _punctuation(token: str) -> bool:
    return all(unicodedata.category(sign)[0] == "P" and sign not in _KEPT for sign in token)
