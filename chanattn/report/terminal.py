"""The table on the terminal."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from chanattn.report.table import Table

WIDTH_OF_A_FILE = 200
"""Characters a line where the output is no terminal: nothing is folded there."""


def show(table: Table) -> None:
    """Prints the table and its footnotes; incomplete cells are yellow, differences that hold are bold.

    Groups of columns come one below the other: side by side they are too wide.
    """
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, emoji=False, width=WIDTH_OF_A_FILE)
    console.print(Text(table.title, style="bold"), soft_wrap=True)
    names = list(dict.fromkeys(column.group for column in table.columns[1:]))
    for name in names:
        places = [0, *(i for i, column in enumerate(table.columns[1:], 1) if column.group == name)]
        console.print(_grid(table, places, name))
    for note in table.footnotes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def _grid(table: Table, places: list[int], name: str) -> RichTable:
    grid = RichTable(title=Text(name), title_justify="left")
    for place in places:
        column = table.columns[place]
        grid.add_column(Text(column.heading), justify="left" if column.is_text else "right")
    for row in table.rows:
        cells = [row[place] for place in places]
        styles = ("yellow" if c.incomplete else "bold" if c.strong else "" for c in cells)
        grid.add_row(*(Text(c.text, style=s) for c, s in zip(cells, styles, strict=True)))
    return grid
