"""Tests that are left out are counted, and in the continuous integration explained."""

from types import SimpleNamespace

import pytest

from tests.support import skips


@pytest.fixture
def session(monkeypatch):
    """`session(reasons)`: a run of pytest that left out a test for each; `printed` is what it says of it."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("NO_BROWSER", raising=False)

    def of(*reasons):
        reports = [
            SimpleNamespace(nodeid=f"test_{i}", longrepr=("test.py", 1, f"Skipped: {reason}"))
            for i, reason in enumerate(reasons)
        ]
        printed = []
        reporter = SimpleNamespace(
            stats={"skipped": reports}, section=printed.append, line=printed.append
        )
        manager = SimpleNamespace(get_plugin=lambda name: reporter)
        run = SimpleNamespace(config=SimpleNamespace(pluginmanager=manager), exitstatus=0)
        skips.pytest_sessionfinish(run, 0)
        skips.pytest_terminal_summary(reporter)
        return run.exitstatus, printed

    return of


def test_known_reasons_are_counted_and_explained(session):
    status, printed = session("no C compiler", "no real data sets in /a", "no C compiler")
    assert status == 0
    assert printed[1:] == [
        "   2 no C compiler (it is no requirement)",
        "   1 no real data sets in /a (they are no part of a checkout)",
    ]


def test_an_unknown_reason_fails_in_the_continuous_integration_alone(session, monkeypatch):
    status, printed = session("no C compiler", "too late in the day")
    assert status == 1
    assert printed[-1] == "   1 too late in the day (UNEXPLAINED, see tests/support/skips.py)"
    monkeypatch.setenv("CI", "")
    assert session("too late in the day") == (0, ["not tested", "   1 too late in the day"])


def test_the_page_must_be_tested_where_a_browser_could_be_installed(session, monkeypatch):
    assert session(skips.NO_BROWSER)[0] == 1
    monkeypatch.setenv("NO_BROWSER", "1")
    assert session(skips.NO_BROWSER)[0] == 0


def test_nothing_is_said_where_nothing_was_left_out(session):
    assert session() == (0, [])
