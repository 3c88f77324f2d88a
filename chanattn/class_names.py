"""The names of classes: whether those of two data sets mean the same.

A label is a number; what it means, the order of the names says. Names that differ only in their Unicode form
(a composed `é`, or `e` with an accent behind it, as some file systems write it) are one name; so are those
that one locale decodes and another leaves as bytes.
"""

import json
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence

from chanattn.errors import UsageError, some

_LONGEST = 40  # characters of a name in a message


def difference(
    own: Sequence[str], found: Sequence[str], one: str = "class", several: str = "classes"
) -> str | None:
    """In words, how classes differ from one's own; None if every label means the same.

    Args:
        own: names in the order of the labels.
        found: of the other side.
        one: what a class is called.
        several: classes.
    """
    ours, theirs = _forms(own), _forms(found)
    if ours == theirs:
        return None
    parts = [] if len(ours) == len(theirs) else [f"{len(theirs)} {several} instead of {len(ours)}"]
    # By the form that is compared, shown as they are written.
    known, seen = set(ours), set(theirs)
    new = [name for name, form in zip(found, theirs, strict=True) if form not in known]
    gone = [name for name, form in zip(own, ours, strict=True) if form not in seen]
    parts += [f"new: {some(map(_shown, new))}"] if new else []
    parts += [f"absent: {some(map(_shown, gone))}"] if gone else []
    if not parts:
        number = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        here, there = _shown(found[number]), _shown(own[number])
        parts.append(f"the same in another order: {one} {number} is {here} instead of {there}")
    return "; ".join(parts)


def check_distinct(names: Sequence[str]) -> None:
    """Refuses two classes whose names differ only in their Unicode form: nobody can tell them apart.

    Raises:
        UsageError: there are such classes.
    """
    forms = _forms(names)
    form, count = Counter(forms).most_common(1)[0]
    if count > 1:
        same = [name for name, each in zip(names, forms, strict=True) if each == form]
        raise UsageError(
            f"the classes {' and '.join(map(ascii, same))} differ only in their Unicode form; make them one"
        )


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which several mean the same word, each of these with its number: ImageNet has two cranes.

    "crane" of the classes 134 and 517 becomes "crane (134)" and "crane (517)".
    """
    count = Counter(_forms(names))
    return tuple(
        name if count[form] == 1 else f"{name} ({number})"
        for number, (name, form) in enumerate(zip(names, _forms(names), strict=True))
    )


def fingerprint(names: Sequence[str]) -> int:
    """A number below 2^31 that is the same where `difference` finds none."""
    return zlib.crc32(json.dumps(_forms(names)).encode()) & 0x7FFF_FFFF


def _forms(names: Sequence[str]) -> list[str]:
    return [unicodedata.normalize("NFC", _decoded(name)) for name in names]


def _decoded(name: str) -> str:
    """A folder's name that a locale without UTF-8 has left as escaped bytes, as other locales read it."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which is no byte
        return name


def _shown(name: str) -> str:
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")
