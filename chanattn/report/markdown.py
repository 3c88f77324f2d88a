"""A table as GitHub-flavoured Markdown."""

from chanattn.markdown import escape
from chanattn.markdown import table as table_lines
from chanattn.report.table import Table


def markdown(table: Table) -> str:
    """Title, table and footnotes; groups stand before the headings of their columns."""
    headings = [
        escape(f"{column.group}: {column.heading}" if column.group else column.heading)
        for column in table.columns
    ]
    rules = [":---" if column.is_text else "---:" for column in table.columns]
    lines = table_lines(headings, ([escape(c.text) for c in row] for row in table.rows), rules)
    notes = [f"- {escape(note)}" for note in table.footnotes]
    return "\n".join([f"# {escape(table.title)}", "", *lines, "", *notes]) + "\n"
