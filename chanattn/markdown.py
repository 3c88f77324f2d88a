"""Tables in GitHub's Markdown."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would act on; an underline within a word is none of it."""


def escape(text: str) -> str:
    """`text`, which is one line, as Markdown that shows it as it stands."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def table(
    headings: Sequence[str], rows: Iterable[Iterable[str]], rules: Sequence[str] = ()
) -> list[str]:
    """The lines of a table.

    Args:
        headings: a cell a column; all cells are Markdown already, see `escape`.
        rows: cells a row.
        rules: what aligns each column: "---", ":---" or "---:"; empty: the first of these for all.
    """
    lines = (headings, rules or ["---"] * len(headings), *rows)
    return [f"| {' | '.join(cells)} |" for cells in lines]
