"""A report: every file of it, from one sweep directory or from several that are merged."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from chanattn.errors import UsageError
from chanattn.files import write_bytes
from chanattn.report import classes, latex, markdown, table
from chanattn.report.comparison import Comparison, compare_all
from chanattn.report.metric import usual
from chanattn.report.page import Section, page
from chanattn.report.pictures import pictures
from chanattn.report.record import as_csv, as_json, ordered

PAGE = "report.html"


def write_report(
    folder: Path, *, metric: str = "", sort: str = "", output: Path | None = None
) -> Path:
    """Writes the report of one sweep: `table.md`, `.csv`, `.tex`, `.json`, pictures, and the page.

    If the runs tell numbers of every class, also `classes_NAME.md` and `.tex` of each, and `classes.csv`.

    Args:
        folder: the sweep directory.
        metric: `split/name` of a final value; empty: the metric by which the runs are judged.
        sort: column that orders the rows; empty: as the sweep has them.
        output: where the files go; `default_folder` if None.

    Returns:
        The path of the page, `report.html`.

    Raises:
        UsageError: `folder` is no sweep or damaged, rows differ in their recipe, metric or column do not
            exist, or the files cannot be written.
    """
    (comparison,) = compare_all([folder], metric)
    return write_files([comparison], output or default_folder(comparison), sort)


def default_folder(comparison: Comparison) -> Path:
    """Where the report of a sweep goes: the one by another metric leaves that by the usual one as it is."""
    sweep, shown = comparison.sweep, comparison.metric
    is_usual = shown == usual(sweep.runs)
    name = "report" if is_usual else f"report-{shown.split}-{shown.metric.name}"
    return sweep.folder / name


def write_files(comparisons: Sequence[Comparison], output: Path, sort: str = "") -> Path:
    """Writes the report of compared sweeps into `output`, and returns the path of the page.

    Raises:
        UsageError: there is no column `sort`, or the files cannot be written.
    """
    several = len(comparisons) > 1
    top = table.merged(comparisons, sort) if several else table.single(comparisons[0], sort)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(output, error) from error
    sections = []
    for comparison in comparisons:
        own = "" if several else sort
        drawn = pictures(comparison, ordered(comparison, own))
        by_class = classes.tables(comparison, own)
        sections.append(Section(comparison, table.single(comparison, own), by_class, drawn))
    files: dict[str, str | bytes] = {
        "table.md": markdown.markdown(top),
        "table.tex": latex.latex(top),
        "table.csv": as_csv(comparisons, "" if several else sort),
        "table.json": json.dumps(as_json(comparisons), indent=2, allow_nan=False) + "\n",
    }
    prefixes = _prefixes([comparison.label for comparison in comparisons])
    for prefix, section in zip(prefixes, sections, strict=True):
        files |= {f"{prefix}{picture.name}.png": picture.png for picture in section.pictures}
        for name, of_classes in section.classes.items():
            stem = f"{prefix}classes_{_plain(name)}"
            files[f"{stem}.md"] = markdown.markdown(of_classes)
            files[f"{stem}.tex"] = latex.latex(of_classes)
    in_csv = classes.as_csv(comparisons)
    if in_csv.count("\n") > 1:
        files["classes.csv"] = in_csv
    files[PAGE] = page(top, sections, output.absolute())  # last: what it links to is there
    for name, content in files.items():
        # Half of a surrogate pair is a legal JSON text, but no legal UTF-8.
        data = content.encode(errors="replace") if isinstance(content, str) else content
        try:
            write_bytes(output / name, data)
        except OSError as error:
            raise _unwritable(output / name, error) from error
    return output / PAGE


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write to {path}: {error.strerror}; choose another --output")


def _prefixes(labels: Sequence[str]) -> list[str]:
    """What the files of each sweep begin with; nothing where there is one sweep alone."""
    if len(labels) == 1:
        return [""]
    plain = list(map(_plain, labels))
    numbered = len(set(plain)) < len(plain)
    return [f"{name}_{n}_" if numbered else f"{name}_" for n, name in enumerate(plain, start=1)]


def _plain(text: str) -> str:
    return re.sub(r"\W+", "_", text)
