"""Counts what was not tested, by reason; in the continuous integration a reason must be a known one."""

import os
from collections import Counter

# What the continuous integration may leave out, by the beginning of the reason, and why.
EXPLAINED = {
    "PyTorch is not installed": "it is no requirement; its arrays are committed (tests/golden)",
    "torch is installed": "the test is of machines without it",
    "pycocoevalcap is not installed": "it is no requirement; its numbers are committed (tests/golden)",
    "flatbuffers is not installed": "one format of exports needs it",
    "jax2onnx is not installed": "one format of exports needs it, and it brings a dozen packages",
    "the reference tables are absent": "they are no part of a checkout",
    "no real data sets in": "they are no part of a checkout",
    "no Slurm answers on this machine": "it needs a cluster",
    "processes of this machine have no node to lose": "it needs a cluster",
    "processes of this machine know no partitions": "it needs a cluster",
    "this process may not mount file systems": "containers may forbid it",
    "no file system of one's own": "containers may forbid it",
    "root cannot become somebody else here": "containers may forbid it",
    "no terminal can be made here": "containers may forbid it",
    "no C compiler": "it is no requirement",
}
NO_BROWSER = "no chromium and chromedriver on the path"


def allowed(reason):
    """Why a test may be left out for this reason, None if it may not."""
    if reason == NO_BROWSER and os.environ.get("NO_BROWSER"):
        return "none could be installed"
    beginnings = [text for text in EXPLAINED if reason.startswith(text)]
    return EXPLAINED[beginnings[0]] if beginnings else None


def skipped(reporter):
    """How many tests or modules were left out, by reason."""
    found = {
        (report.nodeid, report.longrepr[2].removeprefix("Skipped: "))
        for report in reporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    }
    return Counter(reason for _, reason in found)


def unexplained(reporter):
    """The reasons that the continuous integration does not accept."""
    return [reason for reason in skipped(reporter) if allowed(reason) is None]


def in_ci():
    return os.environ.get("CI", "").lower() in {"1", "true"}


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and in_ci() and unexplained(reporter) and not exitstatus:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    counted = skipped(terminalreporter)
    if not counted:
        return
    terminalreporter.section("not tested")
    for reason, number in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        why = allowed(reason)
        remark = f" ({why})" if why else " (UNEXPLAINED, see tests/support/skips.py)" * in_ci()
        terminalreporter.line(f"{number:4} {reason}{remark}")
