"""A table as GitHub-flavoured Markdown."""

import re

from chanattn.report.table import Table

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would act on; an underline within a word is none of it."""


def markdown(table: Table) -> str:
    """Title, table and footnotes; groups stand before the headings of their columns."""
    headings = [
        escape(f"{column.group}: {column.heading}" if column.group else column.heading)
        for column in table.columns
    ]
    rule = [":---" if column.is_text else "---:" for column in table.columns]
    body = [[escape(cell.text) for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *body)]
    notes = [f"- {escape(note)}" for note in table.footnotes]
    return "\n".join([f"# {escape(table.title)}", "", *lines, "", *notes]) + "\n"


def escape(text: str) -> str:
    """`text`, which is one line, as Markdown that shows it as it stands."""
    return _SPECIAL.sub(r"\\\g<0>", text)
