"""Names of variants and classes are any text: none leaves its folder, breaks a line, commands the terminal.

That none runs in the report is tried in a browser, in tests/report/test_page.py.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from chanattn.errors import visible
from chanattn.sweep import Sweep
from chanattn.sweep.store import job, read, write
from configs import base
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
    assert set(read(folder)["variants"]) == set(VARIANTS)


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
