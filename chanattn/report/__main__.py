"""Sweep directories to tables, pictures and a page.

    python -m chanattn.report runs/se_reduction
    python -m chanattn.report runs/se_reduction --metric=test/top5 --sort=mean
    python -m chanattn.report runs/cifar10 runs/cifar100 --output=runs/both

Reads files only, and may be run while the sweep goes on: cells that lack seeds are marked. Rows whose recipe
differs are refused. Several sweeps of one recipe, on several data sets or networks, give one table with a
group of columns each.
Exit codes: 0 done, 2 bad flags or no comparable sweep, 1 anything else.
"""

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError, visible
from chanattn.paths import to_path
from chanattn.report import table, terminal
from chanattn.report.comparison import compare_all
from chanattn.report.metric import parse

METRIC = flags.DEFINE_string(
    "metric",
    "",
    "SPLIT/NAME of a final value: test/top1, test/loss, ema/top1, ...; default: the first metric of the runs,"
    " on the test split",
)
SORT = flags.DEFINE_string(
    "sort", "", "column of table.csv that orders the rows, best first; -COLUMN turns it around"
)
OUTPUT = cli.define_path(
    "output", None, "folder of the report; default: SWEEP/report, or report-SPLIT-NAME by --metric"
)


def main(sweeps: list[str]) -> None:
    """Reports on the sweeps as the flags say."""
    if not sweeps:
        raise UsageError("give the directory of a sweep: python -m chanattn.report SWEEP")
    if len(sweeps) > 1 and not OUTPUT.value:
        raise UsageError("a report on several sweeps belongs to none of them: give --output=DIR")
    folders = [to_path(sweep) for sweep in sweeps]
    if METRIC.value:
        parse(METRIC.value)  # a slip is told before anything is read
    comparisons = compare_all(folders, METRIC.value)
    # Imported late, so that a mistake is told at once.
    from chanattn.report.sweep_report import default_folder, write_files

    output = OUTPUT.value or default_folder(comparisons[0])
    written = write_files(comparisons, output, SORT.value)
    terminal.show(table.merged(comparisons, SORT.value))
    tables = [output / f"table.{kind}" for kind in ("md", "csv", "tex", "json")]
    print(visible(f"page:    {written}"))
    print(visible(f"tables:  {', '.join(map(str, tables))}"))


if __name__ == "__main__":
    cli.run(main, positionals=True, jax=False)
