"""The table of bad inputs in docs/reliability.md, made from what the programs answer.

python -m tests.reliability.table              prints what each case gets, and what is wrong with it
python -m tests.reliability.table --markdown   writes the table into the page
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chanattn.errors import visible
from tests.conftest import ROOT, cache_of_tests
from tests.reliability.case import Case, Outcome, Server, mistakes, served
from tests.reliability.cases import GROUPS
from tests.reliability.making import TRAINED, tiny

PAGE = ROOT / "docs" / "reliability.md"
START, END = "<!-- bad inputs -->\n", "<!-- end of bad inputs -->"
AGAIN = "python -m tests.reliability.table --markdown"
_CUT = 40  # characters that stay of a very long word


@dataclass(frozen=True)
class Row:
    """A case with its answer."""

    group: str
    case: Case
    outcome: Outcome

    @property
    def message(self) -> str:
        """Without what only this version of a library says."""
        text = self.outcome.err.strip().removeprefix("error: ")
        return re.sub(self.case.varies, "...", text) if self.case.varies else text

    @property
    def mistakes(self) -> list[str]:
        return mistakes(self.case, self.outcome)


def rows(server: Server, folder: Path, only: str = "") -> Iterator[Row]:
    """Runs the cases, or those whose group or title contains a text, in folders below `folder`."""
    train = Case("trains", "train.py --config=tiny.py --workdir=RUN", tiny)
    outcome = server.run(train, folder / TRAINED)
    assert outcome.code == 0, f"the training of the cases ended with {outcome.code}: {outcome.err}"
    count = 0
    for group, cases in GROUPS.items():
        for case in cases:
            count += 1
            if only.lower() in f"{group}: {case.title}".lower():
                place = folder / f"case{count}"
                yield Row(group, case, server.run(case, place))


def markdown(answered: list[Row]) -> str:
    """The table, a part for each kind of input."""
    parts = [f"{len(answered)} inputs.\n"]
    for group in dict.fromkeys(row.group for row in answered):
        lines = [
            f"### {group}\n",
            "| input | command | message | exit |",
            "| --- | --- | --- | --- |",
        ]
        for row in answered:
            if row.group == group:
                cells = (
                    row.case.title,
                    f"`{_cut(' '.join(row.case.words))}`".replace("|", r"\|"),
                    _escaped(_cut(row.message)),
                    str(row.outcome.code),
                )
                lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def insert(page: str, table: str) -> str:
    """The page with another table."""
    head, rest = page.split(START)
    return f"{head}{START}\n{table}\n{END}{rest.split(END)[1]}"


def _cut(text: str) -> str:
    """One line without very long words."""
    words = visible(text.replace("\n", "\\n")).split(" ")
    return " ".join(w if len(w) <= 3 * _CUT else f"{w[:_CUT]}...{w[-_CUT // 4 :]}" for w in words)


def _escaped(text: str) -> str:
    """Markdown that shows the text as it is."""
    for char in "\\`*_[]<>|$~&":
        text = text.replace(char, f"\\{char}")
    return " ".join(text.split())


def main(arguments: list[str]) -> int:
    """Prints, or writes the page; returns the exit code."""
    write = "--markdown" in arguments
    only = "" if write else " ".join(arguments)
    # Else each case would keep its compiled programs in a home of its own, where nothing is to be written.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_of_tests()))
    with tempfile.TemporaryDirectory() as folder, served() as server:
        answered, start = [], time.perf_counter()
        for row in rows(server, Path(folder), only):
            answered.append(row)
            if not write or row.mistakes:
                seconds, start = time.perf_counter() - start, time.perf_counter()
                print(
                    f"{row.group}: {row.case.title} ({seconds:.1f} s)\n    {' '.join(row.case.words)}"
                )
                print(
                    f"    {row.outcome.code}: {row.outcome.err.strip()[-1500:]}",
                    *row.mistakes,
                    sep="\n    ! ",
                )
    bad = sum(bool(row.mistakes) for row in answered)
    print(f"{len(answered)} cases, {bad} with mistakes")
    if write:
        PAGE.write_text(insert(PAGE.read_text(), markdown(answered)))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
