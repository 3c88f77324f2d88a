"""Tables read backwards: from our paths to PyTorch's names.

A pattern is asked for all that it matches, in the order in which a regular expression tries it: alternatives
from left to right; `(...)?` first with the group, `(...)??` first without. So the first spelling that a
pattern would try is the canonical one, timm's where it has such a module; a file of timm that spells it in
another way says so by its words (`chanattn.interop.families`).
"""

import re
from collections.abc import Collection, Iterator
from functools import cache

from chanattn.interop.names.rules import Match, Part, Skip, Table, expand


def spell(path: str, table: Table, words: Collection[str] = ()) -> tuple[str, Match] | None:
    """PyTorch's name of what we call `path`.

    Args:
        path: Of a module, for a `Rule`, or of a single array, for a `Leaf`; with "/" between the modules.
        table: Of the mechanism or the network.
        words: Parts of names, between dots, that are preferred; of spellings with equally many, the first.

    Returns:
        The name and what the table says of it; None if it has no such path.
    """
    found = list(_spellings(path, table))
    if not found:
        return None
    return max(found, key=lambda each: len(set(words).intersection(each[0].split("."))))


def _spellings(path: str, table: Table) -> Iterator[tuple[str, Match]]:
    for entry in table:
        if isinstance(entry, Skip):
            continue
        names = _names(entry.pattern, entry.path)
        if isinstance(entry, Part):
            begins = (path[:end] for end in range(len(path) + 1))
            found = [(*named, ours) for ours in begins for named in names.get(ours, ())]
            for _, name, ours in sorted(found):
                below = _spellings(path.removeprefix(ours), entry.table)
                yield from ((name + rest, match) for rest, match in below)
        else:
            yield from ((name, Match(path, entry)) for _, name in names.get(path, ()))


@cache
def _names(pattern: str, path: str) -> dict[str, list[tuple[int, str]]]:
    """All names that a pattern matches, numbered in its order, by our path."""
    names, end = _alternatives(pattern, 0)
    assert end == len(pattern), f"{pattern} is more than the tables need"
    found: dict[str, list[tuple[int, str]]] = {}
    for number, name in enumerate(names):
        if match := re.fullmatch(pattern, name):
            found.setdefault(expand(match, path), []).append((number, name))
    return found


def _alternatives(pattern: str, start: int) -> tuple[list[str], int]:
    """What the alternatives from `start` on match, and where they end."""
    every: list[str] = []
    texts, i = [""], start
    while i < len(pattern) and pattern[i] != ")":
        if pattern[i] == "|":
            every, texts, i = every + texts, [""], i + 1
            continue
        if pattern[i] == "(":
            atom, i = _alternatives(pattern, i + (3 if pattern.startswith("(?:", i) else 1))
            i += 1
        elif pattern.startswith(r"\d", i):
            atom, i = list("0123456789"), i + 2
        else:
            i += pattern[i] == "\\"
            atom, i = [pattern[i]], i + 1
        if pattern.startswith("??", i):
            atom, i = ["", *atom], i + 2
        elif pattern.startswith("?", i):
            atom, i = [*atom, ""], i + 1
        texts = [text + more for text in texts for more in atom]
    return every + texts, i
