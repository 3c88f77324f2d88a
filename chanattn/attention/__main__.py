"""`python -m chanattn.attention`: the family as a table; `--markdown` writes it into the documentation."""

from pathlib import Path

from absl import flags
from rich.console import Console
from rich.table import Table

from chanattn import attention, cli, own_modules
from chanattn.attention import catalogue
from chanattn.errors import UsageError

_ROOT = Path(__file__).resolve().parents[2]
_IMPORTS = flags.DEFINE_list("imports", [], "Modules of your own that register mechanisms.")
_MARKDOWN = flags.DEFINE_bool("markdown", False, "Write docs/catalogue.md instead of printing.")


def main() -> None:
    """Print the table, or write the pages.

    Raises:
        UsageError: A module of --imports is not there; or the pages are to be written, and this is no
            checkout of the project.
    """
    own_modules.import_all(_IMPORTS.value, "--imports")
    if not _MARKDOWN.value:
        Console(width=None if Console().is_terminal else 230).print(_table())
        return
    page = _ROOT / "docs" / "catalogue.md"
    if not page.parent.is_dir():
        raise UsageError(f"--markdown writes pages of a checkout; there is no {page.parent}")
    page.write_text(catalogue.markdown(), encoding="utf-8")
    print("wrote docs/catalogue.md")


def _table() -> Table:
    total = len(attention.names())
    rows = cli.tracked(catalogue.rows(), f"measuring {total} mechanisms", total)
    table = Table(title=f"Channel attention: {total} mechanisms")
    for column in catalogue.COLUMNS:
        table.add_column(column, justify="right" if column in catalogue.NUMBERS else "left")
    for row in rows:
        table.add_row(*row)
    return table


if __name__ == "__main__":
    cli.run(main)
