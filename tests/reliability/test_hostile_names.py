"""Names of variants and classes are any text: none leaves its folder, breaks a line, commands the terminal.

That none runs in the report is tried in a browser, in tests/report/test_page.py.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from fake_sweep import write_sweep
from ml_collections import ConfigDict
from sampling import only

from chanattn.errors import UsageError, visible
from chanattn.report.comparison import compare_all
from chanattn.report.curves import plot_curves
from chanattn.report.sweep_report import write_files, write_report
from chanattn.sweep import Sweep
from chanattn.sweep.launchers import slurm
from chanattn.sweep.launchers.slurm_queue import Request
from chanattn.sweep.store import job, read, write
from chanattn.sweep.view import output
from configs import base
from tests.conftest import ROOT
from tests.reliability.case import Case, served, snapshot
from tests.reliability.cases.data_sets import JPEG
from tests.reliability.cases.weights import net

VARIANTS = (
    *("<script>alert(1)</script>", "../../etc/passwd", "/etc/passwd", "..", ".", "a\nb", "a\x00b"),
    *(
        "\U0001f600 \U0001f469\u200d\U0001f467",
        "n" * 300,
        "n" * 301,
        "-rf",
        "~",
        "CON",
        " ",
        "\u202egnp",
        "\x1b[31m",
    ),
)
CLASSES = (
    *(
        "<script>alert(1)<",
        "x%2f..%2fetc",
        "a\nb",
        "\U0001f600 \U0001f469\u200d\U0001f467",
        "n" * 255,
    ),
    *("[red]x", "$x_1$", "--workdir=X", "\x1b[31mred", "{{ 7 * 7 }}"),
)


# What a pattern, an address, a format or a markup language would make something else of: all of it in one
# name, what must stand at the beginning or alone, and each by itself.
TOGETHER = ("s?lr=1 a#b 100%25 %j-%t {0}{x} [bold]x :x: * a&b;c $x_1$ \\$ <i> '\"` n\u00e4\u4e16",)
TOGETHER += ("_x", "--workdir=W", "javascript:alert(1)", "~", os.fsdecode(b"no \xff utf-8"))
FOLDERS = (
    *TOGETHER,
    *("s?lr=1", "a#b", "100%25", "%j-%t", "{0}{x}", "[bold]x", ":x:", "*", "a b", "a&b;c"),
    *("$x_1$", "\\$", "<i>", "'\"`", "n\u00e4\u4e16"),
)


class Links(HTMLParser):
    """The addresses that a page links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


@pytest.mark.parametrize("name", only(TOGETHER, FOLDERS))
def test_a_report_lies_in_any_folder_and_its_links_lead_to_the_runs(
    name: str, tmp_path: Path
) -> None:
    values = {"none": [0.9, 0.91], f"se {name}": [0.92, 0.93], "_private": [0.9, 0.92]}
    folder = write_sweep(tmp_path / name / "runs", values)
    page = write_report(folder, output=tmp_path / "report")
    assert {path.name for path in tmp_path.iterdir()} == {name, "report"}
    led = [
        Path(os.path.normpath(page.parent / os.fsdecode(unquote(link, errors="surrogateescape"))))
        for link in Links(page.read_text()).found
    ]
    runs = [folder / "runs" / f"variant{n}" / f"seed{s}" for n in range(3) for s in range(2)]
    assert [path for path in led if path.is_dir()] == runs
    assert all(path.exists() for path in led)
    with (page.parent / "table.csv").open(errors="surrogateescape", newline="") as table:
        listed = [row["variant"] for row in csv.DictReader(table)]
    assert listed == [one.encode(errors="replace").decode() for one in values]


@pytest.mark.parametrize("name", only(TOGETHER, FOLDERS))
def test_the_curves_of_a_run_are_drawn_whatever_its_name(name: str, tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / name, {"none": [0.9, 0.91]})
    runs = [folder / "runs" / "variant0" / f"seed{seed}" for seed in range(2)]
    moved = [run.rename(folder / f"{name}{seed}") for seed, run in enumerate(runs)]
    plot_curves(moved, folder / "curves.png", title=name)
    assert (folder / "curves.png").stat().st_size > 10_000


def test_two_sweeps_whose_labels_look_alike_keep_their_pictures(tmp_path: Path) -> None:
    folders = [
        write_sweep(tmp_path / name, {"none": [0.9, 0.91], "se": [0.92, 0.93]})
        for name in ("a-b", "a_b", "a b")
    ]
    page = write_files(compare_all(folders, "test/top1"), tmp_path / "out")
    drawn = Counter(path.name.rpartition("_")[2] for path in page.parent.glob("*.png"))
    assert drawn["seeds.png"] == 3


@pytest.mark.slow
def test_what_is_printed_is_the_folder_that_was_named(tmp_path: Path) -> None:
    name = ":x: [bold]a {0}"
    write_sweep(tmp_path / name, {"none": [0.9, 0.91], "se :x: [red]r": [0.92, 0.93]})
    words = [sys.executable, "-m", "chanattn.report", name]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"page:    {name}/report/report.html" in done.stdout
    assert "se :x: [red]r" in done.stdout


def test_what_a_sweep_prints_has_no_markup(capsys: pytest.CaptureFixture) -> None:
    output().print("report: runs/:x:/[red]a", markup=False)
    assert capsys.readouterr().out == "report: runs/:x:/[red]a\n"


def test_a_name_that_slurm_takes_for_a_pattern_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "Processes", lambda *_: pytest.fail("it is too late"))
    with pytest.raises(UsageError, match="Slurm takes % in a path for a pattern"):
        slurm.Slurm(tmp_path / "100%j", Request(), "local")


def test_a_sweep_of_hostile_variants_stays_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "S"
    folder.parent.mkdir(parents=True)
    recipe: ConfigDict = base.get_config()
    grid = Sweep(title="T", variants={name: {} for name in VARIANTS}, baseline=VARIANTS[0])
    write(folder, recipe, grid, [0], name="s", file="s.py")
    for name in VARIANTS:
        of = job(folder, name, 0)
        assert of.config.is_file()
        for path in (of.config, of.workdir):
            assert path.resolve().is_relative_to(folder.resolve())
            assert all(part.isascii() and part.isprintable() for part in path.parts)
    assert {path.split("/")[0] for path in snapshot(folder)} == {"jobs", "sweep.json"}
    assert {path.name for path in tmp_path.rglob("*")} >= {"S"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["S"]
    assert set(read(folder).variants) == set(VARIANTS)


def _classes(folder: Path) -> None:
    net(folder)
    for name in CLASSES:
        place = folder / "D" / "test" / name
        place.mkdir(parents=True)
        (place / "0.jpg").write_bytes(JPEG)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the programs are forked from a server")
def test_hostile_classes_are_evaluated_and_shown_as_text() -> None:
    case = Case(
        "hostile classes",
        "eval.py --config=tiny.py:simam --config.model.shortcut=projection --weights=net.safetensors"
        " --dataset=folder --data_dir=D --output=OUT",
        _classes,
        code=0,
    )
    with tempfile.TemporaryDirectory() as place, served() as server:
        folder = Path(place) / "case"
        outcome = server.run(case, folder)
        assert (outcome.code, outcome.err) == (0, ""), outcome.err
        top, result_file, picture = outcome.written
        assert top == "OUT"
        assert picture == result_file.removesuffix("json") + "png"
        assert result_file.startswith("OUT/folder-test-net-")
        result = json.loads((folder / result_file).read_text())
    assert set(result["per_class_accuracy"]) == set(CLASSES)
    lines = outcome.out.splitlines()
    assert all(line.isprintable() or "\u200d" in line for line in lines)
    for shown in ("<script>alert(1)<", "x%2f..%2fetc", "a b", "[red]x", "$x_1$", "[31mred"):
        assert sum(f" {shown} " in line for line in lines) == 1, shown
    assert max(map(len, lines)) < 200


def test_messages_neither_break_nor_command_the_terminal() -> None:
    assert visible("no \x1b[31m \x07 \r\n\u202e here") == r"no \x1b[31m \x07 \r\n\u202e here"
    assert visible("2 mistakes:\n  \u00e4: a\n  b: c") == "2 mistakes:\n  \u00e4: a\n  b: c"
