"""A bad input gets one line that names the mistake and exit code 2, and nothing is written.

The page docs/reliability.md shows what each gets. A new case is an entry in `tests/reliability/cases/`.
"""

import dataclasses
import difflib
import sys
import tempfile
from pathlib import Path

import pytest

from tests.reliability.case import Case, Outcome, mistakes, relative, served
from tests.reliability.cases import GROUPS
from tests.reliability.table import AGAIN, PAGE, Row, insert, markdown, rows

GOOD = Outcome(2, "", "error: no such thing; choose another\n", [])
CASE = Case("mistake", "train.py --nothing", writes=(r"S.*",), varies="(?<=such ).*(?=;)")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the programs are forked from a server")
def test_every_bad_input_gets_one_line_and_the_page_shows_it() -> None:
    with tempfile.TemporaryDirectory() as folder, served() as server:
        assert server.threads == 1, "a process with several threads must not be forked"
        answered = list(rows(server, Path(folder)))
    wrong = [
        f"{row.group}: {row.case.title}: {mistake}\n    {row.outcome.err.strip()[-500:]}"
        for row in answered
        for mistake in row.mistakes
    ]
    assert not wrong, "\n".join(wrong)
    assert len(answered) >= 60
    page = PAGE.read_text()
    now = insert(page, markdown(answered))
    changes = list(difflib.unified_diff(page.splitlines(), now.splitlines(), lineterm="", n=0))
    assert not changes, "\n".join([f"docs/reliability.md is not current; run: {AGAIN}", *changes])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"code": 1}, "exit code 1 instead of 2"),
        ({"err": "Traceback (most recent call last):\n"}, "a traceback reaches the user"),
        ({"out": "Traceback"}, "a traceback reaches the user"),
        ({"err": ""}, "0 lines on standard error"),
        ({"err": "error: a\nb\n"}, "2 lines on standard error"),
        ({"err": "usage: train.py\n"}, "1 lines on standard error instead of one that begins with"),
        ({"out": "hello\n"}, "something on standard output"),
        ({"written": ["S/a", "RUN"]}, "written: RUN"),
    ],
)
def test_a_bad_answer_is_found(changes: dict[str, object], found: str) -> None:
    assert mistakes(CASE, GOOD) == []
    assert any(
        text.startswith(found) for text in mistakes(CASE, dataclasses.replace(GOOD, **changes))
    )


def test_titles_are_distinct() -> None:
    for cases in GROUPS.values():
        titles = [case.title for case in cases]
        assert len(set(titles)) == len(titles)


def test_messages_are_shown_as_they_are_without_what_varies() -> None:
    case = dataclasses.replace(CASE, command=("eval.py", "--a=x|y\n" + "z" * 300))
    table = markdown(
        [Row("Flags", case, dataclasses.replace(GOOD, err="error: <b> such 1.2; *\n"))]
    )
    (row,) = (line for line in table.splitlines() if line.startswith("| mistake"))
    _, command, message, code = row.removeprefix("| ").removesuffix(" |").split(" | ")
    assert command.startswith(r"`eval.py --a=x\|y\nzzz")
    assert len(command) < 80
    assert (message, code) == (r"\<b\> such ...; \*", "2")


def test_places_of_this_machine_are_not_shown() -> None:
    text = "/t/case1/RUN in /t/case1, /t/case1.home/x at 0x7f00deadbeef"
    assert relative(text, Path("/t/case1"), Path("/t/case1.home")) == "RUN in ., ~/x at 0x..."
