r"""How a table of names is written: rules from PyTorch's modules and parameters to ours.

Tables are read in both directions (`find`, and `spell` of spelling.py), so patterns consist of literal text,
`\d`, groups with alternatives and `?` or `??` behind a group, and the first spelling is the canonical one.
"""

import re
from dataclasses import dataclass
from functools import cache

from chanattn.interop.names.layouts import VECTOR, Axes, Layout


@dataclass(frozen=True)
class Rule:
    """One renaming of a module; its weight, bias and running statistics follow.

    Attributes:
        pattern: Regular expression of the torch module's whole path.
        path: Ours, with "/" between modules; may refer to groups of the pattern.
        layout: Of the weight: "own" (convolution, norm or linear layer, told by the number of dimensions),
            "dense" (1x1 convolution of a pooled vector), "linear" (the same, canonically a linear layer),
            "grouped" (1x1 with groups), "taps" (1-D convolution over the channels), "norm" (scale of any
            shape), or `Axes` of its own.
    """

    pattern: str
    path: str
    layout: Layout = "own"


@dataclass(frozen=True)
class Leaf:
    """One renaming of a single parameter or buffer that is not the weight or bias of a layer.

    Attributes:
        pattern: Regular expression of its whole name.
        path: Ours, the leaf included.
        layout: Of the array; by default (1, C, 1, 1) and the like become (C,), and (C,) comes back.
    """

    pattern: str
    path: str
    layout: Axes = VECTOR


@dataclass(frozen=True)
class Skip:
    """A parameter or buffer, by its whole name, that has no counterpart and needs none (a fixed basis)."""

    pattern: str


@dataclass(frozen=True)
class Part:
    """A prefix with a table for what follows it."""

    pattern: str
    path: str
    table: "Table"


Entry = Rule | Leaf | Skip | Part
Table = tuple[Entry, ...]


@dataclass(frozen=True)
class Match:
    """What a table says of one torch name: our path, and the entry (a `Rule`, `Leaf` or `Skip`)."""

    path: str
    entry: Rule | Leaf | Skip


def find(name: str, table: Table) -> Match | None:
    """The first entry that fits the whole torch name of a parameter or buffer; None if none does."""
    for entry in table:
        if isinstance(entry, Part):
            match = re.match(entry.pattern, name)
            below = find(name[match.end() :], entry.table) if match else None
            if match and below is not None:
                return Match(expand(match, entry.path) + below.path, below.entry)
        elif isinstance(entry, Skip):
            if re.fullmatch(entry.pattern, name):
                return Match("", entry)
        else:
            target = name if isinstance(entry, Leaf) else name.rpartition(".")[0]
            if match := re.fullmatch(entry.pattern, target):
                return Match(expand(match, entry.path), entry)
    return None


def expand(match: re.Match[str], path: str) -> str:
    """`match.expand(path)`, which would read the path anew for every name."""
    text, *more = _read(path)
    for group, after in zip(more[::2], more[1::2], strict=True):
        text += (match[int(group)] or "") + after
    return text


@cache
def _read(path: str) -> list[str]:
    r"""Text and numbers of groups, in turns; a group is `\1` or `\g<1>`."""
    return re.split(r"\\(?:g<)?(\d)>?", path)
