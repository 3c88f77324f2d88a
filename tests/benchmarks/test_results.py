"""The page of results: grouped by machine, goals beside ratios, and current."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results
from benchmarks.results import ROOT
from chanattn.errors import UsageError

CPU = {
    "cpu": "Some CPU",
    "cores": 2,
    "cores_of_the_machine": 2,
    "memory_gb": 8.0,
    "accelerators": [],
}
GPU = {**CPU, "accelerators": ["Some GPU"]}


def entry(row: str, ratio: float | None = 1.0, mode: str = "train", **more: Any) -> dict[str, Any]:
    speeds = {
        f"{side}_{name}": value
        for side, value in (("ours", 100.0 * (ratio or 1)), ("peer", 100.0))
        for name in ("images_per_s", "lowest", "highest")
    }
    ratios = dict.fromkeys(("ratio", "ratio_lowest", "ratio_highest"), ratio)
    overheads = {"ours_overhead": None, "peer_overhead": None}
    setting = {"batch": 8, "shape": [8, 32, 32, 3], "precision": "float32", "kernels": "auto"}
    names = {"row": row, "mode": mode, "peer": "timm"}
    return {
        **names,
        **speeds,
        **ratios,
        **overheads,
        **setting,
        "peer_variant": "eager",
        "notes": [],
        **more,
    }


def write(path: Path, benchmark: str, rows: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    how = {"command": "python -m x", "date": "today", "versions": {"jax": "1.0"}, "variables": {}}
    report = {"benchmark": benchmark, "hardware": machine, "how": how, "rows": rows}
    path.write_text(json.dumps(report))


def line(page: str, *cells: str) -> str:
    (found,) = [text for text in page.splitlines() if text.startswith("| " + " | ".join(cells))]
    return found


def test_goals_stand_beside_ratios_also_those_missed(tmp_path: Path) -> None:
    rows = [entry("resnet20", 0.994), entry("resnet20_se", 0.996), entry("resnet20_sk", 0.5)]
    write(tmp_path / "a.json", "throughput", [*rows, entry("se@8x4x4x16", 2.5)], CPU)
    page = results.page(results.read(tmp_path))
    assert "| 0.99 (0.99 to 0.99) | 1.0 | **missed** |" in line(page, "resnet20", "train")
    assert "| 1.0 | reached |" in line(page, "resnet20_se", "train", "8", "float32", "auto", "99.6")
    assert "|  |  |" in line(page, "resnet20_sk", "train", "8", "float32", "auto", "50")
    assert "| 2.0 | reached |" in line(page, "se@8x4x4x16", "train")
    assert "Goals for ratios: 2 reached, 1 missed." in page


def test_floors_stand_beside_the_rows_that_have_them_with_the_rates_they_come_from(
    tmp_path: Path,
) -> None:
    rows = [entry("resnet20", 2.0, floor_images_per_s=400.0), entry("resnet20_se", 1.0)]
    write(tmp_path / "a.json", "throughput", rows, CPU)
    report = json.loads((tmp_path / "a.json").read_text())
    report["limits"] = {"flop_per_s": 2.5e11, "bytes_per_s": 3.53e10}
    (tmp_path / "a.json").write_text(json.dumps(report))
    page = results.page(results.read(tmp_path))
    assert "| eager | 400 | 50% |" in line(page, "resnet20", "train")
    assert "| eager |  |  |" in line(page, "resnet20_se", "train", "8", "float32", "auto", "100")
    assert "today; floors from 250 GFLOP/s and 35.3 GB/s" in page


def test_overheads_come_from_all_files_of_a_machine(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "throughput", [entry("resnet50", 2.0)], GPU)
    write(tmp_path / "b.json", "throughput", [entry("resnet50_se", 1.5)], GPU)
    page = results.page(results.read(tmp_path))
    assert "| timm | 25.0% | 0.0% | **missed** |" in page
    assert "| 1.2 | reached |" in page


def test_machines_stand_apart(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "startup", [{"recipe": "digits", "first_step_s": 2.0}], CPU)
    write(tmp_path / "b.json", "startup", [{"recipe": "digits", "first_step_s": 1.0}], GPU)
    page = results.page(results.read(tmp_path))
    cpu, gpu = (
        page.index("## Some CPU, 2 of 2 cores; 8.0 GB; JAX"),
        page.index("; Some GPU; JAX 1.0"),
    )
    assert cpu < page.index("| digits | 2 |") < gpu < page.index("| digits | 1 |")


def test_rows_of_several_files_name_their_file(tmp_path: Path) -> None:
    for name in ("with", "without"):
        write(tmp_path / f"{name}.json", "startup", [{"recipe": "digits", "launches": 1}], GPU)
    page = results.page(results.read(tmp_path))
    assert "| digits | 1 | without.json |" in page


def test_what_disturbed_a_row_and_what_was_not_measured_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "throughput", [entry("resnet20")], CPU)
    report = json.loads((tmp_path / "a.json").read_text())
    report["rows"][0]["notes"] = ["other processes took 51% of the cores meanwhile"]
    report["failed"] = [{"row": "resnet50", "mode": "train", "error": "out of memory"}]
    (tmp_path / "a.json").write_text(json.dumps(report))
    page = results.page(results.read(tmp_path))
    assert "* a.json: resnet50 train was not measured: out of memory" in page
    assert "* a.json: resnet20 train: other processes took 51% of the cores meanwhile" in page


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no JSON files"):
        results.page(results.read(tmp_path))
    (tmp_path / "x.json").write_text('{"rows": []}')
    with pytest.raises(UsageError, match=r"x\.json was written by no benchmark"):
        results.page(results.read(tmp_path))


@pytest.mark.parametrize(
    ("row", "mode", "peer", "on_gpu", "wanted"),
    [
        ("resnet50_gc", "infer", "timm", False, 1.0),
        ("resnet50_splat", "train", "timm", False, None),
        ("resnet20_se", "train", "flax", False, 2.0),
        ("resnet50", "train", "flax", False, None),
        ("se@32x14x14x1024", "infer", "timm", False, None),
        ("resnet50_splat", "train", "timm", True, 1.2),
        ("resnet50", "infer", "timm", True, None),
        ("resnet50", "train", None, True, None),
    ],
)
def test_goals(row: str, mode: str, peer: str | None, on_gpu: bool, wanted: float | None) -> None:
    assert results.goal({"row": row, "mode": mode, "peer": peer}, on_gpu=on_gpu) == wanted


def test_the_page_is_current() -> None:
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    reports = results.read(ROOT / "benchmarks" / "results")
    assert page == results.page(reports), "run: python -m benchmarks.results"


def test_a_file_holds_rows_hardware_and_how_and_tells_nothing_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["python", "-m", "benchmarks.startup", "--launches=2", f"--json={tmp_path}/a.json"]
    monkeypatch.setattr("sys.orig_argv", argv)
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "new" / "a.json"
    rows = [{"recipe": "digits", "first_step_s": 1.5}]
    results.report("startup", rows, path, series=[1, 2])
    written = json.loads(path.read_text())
    assert (written["benchmark"], written["rows"], written["series"]) == ("startup", rows, [1, 2])
    assert written["hardware"]["cores"] > 0
    assert written["how"]["command"] == "python -m benchmarks.startup --launches=2 --json=a.json"
    assert written["how"]["variables"]["OMP_SCHEDULE"] == "static"
    assert {"python", "jax", "chanattn"} <= written["how"]["versions"].keys()
    assert str(tmp_path) not in path.read_text()
    assert "From launch to the first step" in capsys.readouterr().out
    assert results.page(results.read(path.parent))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,234"),
        (0.12345, "0.1235"),
        (1500, "1,500"),
        ([3.0, 1.0, 2.0], "1 to 3"),
        (True, "True"),
        (None, ""),
    ],
)
def test_values_are_printed_for_people(value: object, text: str) -> None:
    assert results.cell(value) == text
