"""What the seeds say of every class: means by variant, from summaries or evaluations, and absent classes."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_sweep import write_sweep

from chanattn.report import classes
from chanattn.report.comparison import compare_all
from chanattn.report.sweep_report import write_report
from chanattn.runs.run import Run

METRICS = [{"name": "top1", "label": "top-1", "unit": "%"}, {"name": "miou", "label": "mIoU"}]
VALUES = {  # IoU of three classes, by variant and seed
    "none": [{"sky": 0.5, "road": 0.9, "c<at>": None}, {"sky": 0.6, "road": 0.8, "c<at>": None}],
    "se": [{"sky": 0.7, "road": 0.9, "c<at>": None}, {"sky": 0.7, "road": 0.85, "c<at>": 0.125}],
}


def change(run: Path, **fields: Any) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | fields))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = write_sweep(tmp_path / "s", {"none": [0.5, 0.6], "se": [0.7, 0.8]})
    for number, values in enumerate(VALUES.values()):
        for seed, iou in enumerate(values):
            told = {"test": {"per_class_iou": iou, "per_class_strange": 3}, "ema": 4}
            run = folder / "runs" / f"variant{number}" / f"seed{seed}"
            change(run, per_class=told, metrics=METRICS)
    return folder


def test_the_mean_and_deviation_of_every_class_stand_in_a_table_of_their_own(sweep: Path) -> None:
    page = write_report(sweep).read_text()
    report = sweep / "report"
    lines = (report / "classes_iou.md").read_text().splitlines()
    assert lines[0].startswith("# IoU by class, digits")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6]]
    assert cells[0][0] == "variant"
    assert cells[2:] == [
        ["none", "55.00 ± 7.07", "85.00 ± 7.07", "–"],
        ["se", "70.00 ± 0.00", "87.50 ± 3.54", "12.50"],
    ]
    assert "55.00 ± 7.07" in re.sub(r"\s+", " ", page)
    assert "<summary>IoU by class</summary>" in page
    assert "<at>" not in page
    with (report / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for name, values in VALUES.items():
        told = [float(r["value"]) for r in rows if r["variant"] == name and r["class"] == "road"]
        np.testing.assert_allclose(told, [100 * each["road"] for each in values])
    assert (report / "classes_iou.tex").read_text().count(r"\toprule") == 1


def test_runs_that_tell_nothing_of_classes_have_no_such_table(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", {"none": [0.5, 0.6], "se": [0.7, 0.8]})
    page = write_report(tmp_path / "s").read_text()
    assert "by class" not in page
    assert not list((tmp_path / "s" / "report").glob("classes*"))


def test_earlier_runs_are_completed_by_evaluations_of_their_end_on_their_split(
    tmp_path: Path,
) -> None:
    recipe = {"dataset.eval_split": "val"}
    folder = write_sweep(tmp_path / "s", {"none": [0.5]}, recipe={})
    run = folder / "runs" / "variant0" / "seed0"
    config = json.loads((run / "config.json").read_text())
    config["dataset"]["eval_split"] = recipe["dataset.eval_split"]
    (run / "config.json").write_text(json.dumps(config))
    (run / "evaluation").mkdir()
    end = {"step": 300, "weights": "raw", "dataset": "digits", "split": "val"}

    def write(name: str, value: float, **changes: Any) -> None:
        told = end | {"per_class_iou": {"sky": value}} | changes
        (run / "evaluation" / f"{name}.json").write_text(json.dumps(told))

    write("a", 0.1, step=200)
    write("b", 0.2, weights="ema")
    write("c", 0.3, split="test")
    write("d", 0.4, dataset="other")
    write("e", 0.5, how={"flip": True})
    (run / "evaluation" / "f.detections.json").write_text("[]")
    assert Run.read("none", 0, run).per_class("test") == {}
    assert Run.read("none", 0, run).per_class("ema") == {"iou": {"sky": 0.2}}
    write("g", 0.6)
    assert Run.read("none", 0, run).per_class("test") == {"iou": {"sky": 0.6}}
    (comparison,) = compare_all([folder])
    assert list(classes.tables(comparison)) == ["iou"]


def test_more_classes_than_columns_fit_are_in_the_file_alone(sweep: Path) -> None:
    many = {f"class {number}": 0.5 for number in range(classes.MOST + 1)}
    for number in range(2):
        change(
            sweep / "runs" / f"variant{number}" / "seed0",
            per_class={"test": {"per_class_ap": many, "per_class_iou": {"a": 0.5}}},
        )
    (comparison,) = compare_all([sweep])
    assert list(classes.tables(comparison)) == ["iou"]
    assert f"class {classes.MOST}," in classes.as_csv([comparison])


def test_the_page_shows_what_was_drawn_of_the_newest_evaluation_of_one_run(sweep: Path) -> None:
    folder = sweep / "runs" / "variant0" / "seed1" / "evaluation"
    folder.mkdir()
    for name in ("d-test-step900", "d-test-step1000"):
        (folder / f"{name}.json").write_text("{}")
        (folder / f"{name}.detections.json").write_text("[]")
        for ending in ("", "-classes", "-precision", "-samples"):
            (folder / f"{name}{ending}.png").write_bytes(f"{name}{ending}".encode())
    found = Run.read("none", 1, folder.parent).pictures_of_an_evaluation()
    name = "d-test-step1000"
    assert [path.stem for path in found] == [f"{name}-precision", f"{name}-classes", name]
    page = write_report(sweep).read_text()
    assert page.count("<figcaption>Evaluation of variant0/seed1: ") == 3


def test_captions_are_told_by_groups_of_words_and_their_bars_stand_on_the_page(sweep: Path) -> None:
    cider = {"name": "cider", "label": "CIDEr-D", "unit": "", "higher_is_better": True}
    final = {"cider": 2.5, "bleu4": 0.5}
    for number in range(2):
        for seed in range(2):
            words = {"colour": 0.5 + number / 4 + seed / 10, "size": None}
            change(
                sweep / "runs" / f"variant{number}" / f"seed{seed}",
                per_class={"test": {"per_class_words": words}},
                metrics=[cider],
                final={"test": final | {"cider": 2.5 + seed}},
            )
    evaluation = sweep / "runs" / "variant0" / "seed0" / "evaluation"
    evaluation.mkdir()
    for name in ("a", "a.captions", "a.references"):
        (evaluation / f"{name}.json").write_text("{}")
    (evaluation / "a-classes.png").write_bytes(b"bars")
    (evaluation / "a-samples.png").write_bytes(b"samples")
    (evaluation.parent / "samples.png").write_bytes(b"own")
    found = Run.read("none", 0, evaluation.parent).pictures_of_an_evaluation()
    assert [path.name for path in found] == ["a-classes.png"]
    page = re.sub(r"\s+", " ", write_report(sweep).read_text())
    assert "<summary>right words by group</summary>" in page
    assert "Examples of variant0/seed0" in page
    assert "Evaluation of variant0/seed0: a-classes" in page
    assert "by class" not in page
    assert "3.0000 ± 0.7071" in page
    lines = (sweep / "report" / "classes_words.md").read_text().splitlines()
    assert lines[0].startswith("# right words by group, ")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6]]
    assert cells[0] == ["variant", "colour", "size"]
    assert cells[2:] == [["none", "55.00 ± 7.07", "–"], ["se", "80.00 ± 7.07", "–"]]
