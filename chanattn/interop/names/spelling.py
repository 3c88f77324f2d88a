"""Tables read backwards: from our paths to PyTorch's names.

A pattern is asked for all that it matches, in the order in which a regular expression tries it: alternatives
from left to right; `(...)?` first with the group, `(...)??` first without. So the first spelling that a
pattern would try is the canonical one, timm's where it has such a module; a file of timm that spells it in
another way says so by its words (`chanattn.interop.families`).
"""

import re
from collections.abc import Collection, Iterator
from functools import cache

from chanattn.interop.names.rules import Match, Part, Skip, Table


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
        for name, ours in _expanded(entry.pattern, entry.path):
            if isinstance(entry, Part):
                if path.startswith(ours):
                    below = _spellings(path.removeprefix(ours), entry.table)
                    yield from ((name + rest, match) for rest, match in below)
            elif path == ours:
                yield name, Match(path, entry)


@cache
def _expanded(pattern: str, path: str) -> tuple[tuple[str, str], ...]:
    """All names that a pattern matches, each with our path."""
    names, end = _alternatives(pattern, 0)
    assert end == len(pattern), f"{pattern} is more than the tables need"
    matches = [(name, re.fullmatch(pattern, name)) for name in names]
    return tuple((name, match.expand(path)) for name, match in matches if match)


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
