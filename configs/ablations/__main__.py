"""`python -m configs.ablations`: the sweeps there are; `--markdown` writes docs/ablations.md."""

from absl import flags
from rich.console import Console
from rich.table import Table

from chanattn import cli
from configs.ablations import catalogue

_MARKDOWN = flags.DEFINE_bool("markdown", False, "Write docs/ablations.md instead of printing.")


def main() -> None:
    """Print the table, or write the page."""
    if _MARKDOWN.value:
        catalogue.PAGE.write_text(catalogue.markdown(), encoding="utf-8")
        print("wrote docs/ablations.md")
        return
    table = Table(title="configs/ablations")
    for column in ("file", "table", "variants"):
        table.add_column(column)
    for name in catalogue.NAMES:
        sweep = catalogue.load(name).sweep()
        table.add_row(f"{name}.py", sweep.title, ", ".join(sweep.variants))
    for name in catalogue.OTHER_TASKS:
        for sweep in catalogue.load(name).TABLES.values():
            table.add_row(f"{name}.py", sweep.title, ", ".join(sweep.variants))
    Console(width=None if Console().is_terminal else 160).print(table)


if __name__ == "__main__":
    cli.run(main)
