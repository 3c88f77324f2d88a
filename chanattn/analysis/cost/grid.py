"""A table with numbers, for the terminal and for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from chanattn.markdown import escape, table


@dataclass(frozen=True)
class Grid:
    """A table: the first column is text, the others are numbers.

    Attributes:
        title: Above it.
        columns: Headings; may have two lines.
        rows: Cells.
        total: Whether the last row is the sum of the others.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: bool = False

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=True)
        for index, row in enumerate(self.rows):
            if self.total and index == len(self.rows) - 1:
                table.add_section()
            table.add_row(*map(Text, row))
        return table

    def markdown(self) -> str:
        """For a page."""
        columns = [" ".join(column.split()) for column in self.columns]
        rules = ["---", *["---:"] * (len(columns) - 1)]
        rows = (map(escape, row) for row in self.rows)
        return "\n".join([f"**{self.title}**", "", *table(columns, rows, rules)]) + "\n"


def page(grids: Sequence[Grid], notes: Sequence[str]) -> str:
    """All tables in Markdown, and what is to be known of them."""
    return "\n".join([*(grid.markdown() for grid in grids), *(f"{note}\n" for note in notes)])
