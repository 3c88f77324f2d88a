"""The page on reliability names tests that exist, and shows the figures that were measured."""

import ast
import re

import pytest

from benchmarks.results import read
from tests.conftest import ROOT
from tests.soak import page

PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_that_the_page_names_exists(file, name):
    functions = [
        n for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)
    ]
    assert name in [function.name for function in functions]


def test_every_row_of_the_faults_names_its_test():
    part = PAGE.partition("## Faults in flight")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 15
    for row in rows:
        fault, happens, test = row.strip("|").split(" | ")
        assert fault.strip()
        assert happens.strip()
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", test)


def test_the_figures_are_those_of_the_results_beside_the_page():
    shown = PAGE.partition(page.BEGIN + "\n")[2].partition(page.END)[0]
    reports = read(page.RESULTS)
    assert shown == page.section(reports)
    assert (page.RESULTS / page.PICTURE).read_bytes().startswith(b"\x89PNG")
    for report in reports.values():
        assert report["how"]["git"]
