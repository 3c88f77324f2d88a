"""`python -m chanattn.report`: what it prints, what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

from fake_sweep import write_sweep

from chanattn.report.sweep_report import write_report

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("loss", "top5")
VALUES = {"none": [0.90, 0.91], "[bold]se[/bold]": [0.92, None]}


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "chanattn.report", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_table_is_printed_and_its_files_are_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", VALUES)
    done = report(folder, "--sort=mean", f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "[bold]se[/bold]" in done.stdout  # no markup
    assert done.stdout.index("[bold]se") < done.stdout.index("none ")
    assert "92.00 (1/2)" in done.stdout
    assert "seed 1 incomplete" in done.stdout
    assert str(tmp_path / "out" / "report.html") in done.stdout
    assert (tmp_path / "out" / "table.tex").exists()
    assert not (folder / "report").exists()


def test_a_report_by_another_metric_leaves_the_first_one(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", VALUES)
    pages = {write_report(folder), *(write_report(folder, metric=f"test/{m}") for m in METRICS)}
    assert len(pages) == 1 + len(METRICS)
    assert {page.parent.name for page in pages} == {
        "report",
        "report-test-loss",
        "report-test-top5",
    }


def test_reading_needs_no_jax_devices(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", VALUES)
    code = (
        "import sys; from pathlib import Path; from chanattn.report.sweep_report import write_report;"
        f" write_report(Path({str(tmp_path / 's')!r})); print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "False", done.stderr


def test_a_mistake_takes_one_line_and_exit_code_2() -> None:
    """The others are in `tests/reliability/cases/reports.py`."""
    done = report("absent", "--metrc=test/top1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown flag --metrc. Did you mean 'metric'?")
    assert done.stderr.count("\n") == 1
