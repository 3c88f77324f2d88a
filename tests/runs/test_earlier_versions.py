"""What earlier versions have written stays readable, resumable and reportable: `tests/golden/runs`."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from chanattn import cli, models
from chanattn.report.sweep_report import write_report
from chanattn.runs.metrics_log import read_metrics
from chanattn.sweep import cost, grid, search, search_flags, store
from chanattn.sweep.check import check
from chanattn.sweep.program import sweep
from chanattn.sweep.request import GridRequest, Request
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT
from tests.training.conftest import TinyNet

ARCHIVES = sorted((ROOT / "tests" / "golden" / "runs").glob("*.tar.xz"))
MEASURED = {"time", "steps_per_second", "images_per_second"}
ROUNDING = {"rel": 1e-3, "abs": 0.01}
"""Another processor than that of the archive rounds otherwise; 0.01 are three of the 355 pictures."""


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name)
def unpacked(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "runs"
    shutil.unpack_archive(request.param, folder, filter="data")
    return folder


@pytest.fixture
def kept(unpacked, tmp_path, monkeypatch) -> Path:
    """A copy to work on; its single runs have the tiny network."""
    monkeypatch.setattr(models, "from_config", lambda *_: TinyNet(classes=10))
    return shutil.copytree(unpacked, tmp_path / "kept")


def results(run: Path) -> list[dict]:
    return [
        {name: value for name, value in line.items() if name not in MEASURED}
        for line in read_metrics(run)
    ]


def config_of(kept: Path):
    config = cli.load_config(str(kept / "recipe.py"))
    config.ema.decay, config.checkpoint.keep, config.checkpoint.keep_best = 0.9, 1, 1
    return config


def test_an_interrupted_run_goes_on_to_what_the_undisturbed_one_became(kept: Path) -> None:
    before = (kept / "interrupted" / "metrics.jsonl").read_text()
    summary = train_and_evaluate(config_of(kept), kept / "interrupted")
    assert (kept / "interrupted" / "metrics.jsonl").read_text().startswith(before)
    for line, wanted in zip(results(kept / "interrupted"), results(kept / "done"), strict=True):
        assert line.pop("split") == wanted.pop("split")
        assert line == pytest.approx(wanted, **ROUNDING)
    undisturbed = json.loads((kept / "done" / "summary.json").read_text())
    assert summary["best"]["ema"] == pytest.approx(undisturbed["best"]["ema"], **ROUNDING)
    assert summary["parameters"] == undisturbed["parameters"]


def test_a_run_that_is_done_stays_done(kept: Path) -> None:
    before = results(kept / "done")
    summary = train_and_evaluate(config_of(kept), kept / "done")
    assert results(kept / "done") == before
    assert summary["final"]["ema"] == {
        name: value for name, value in before[-1].items() if name not in {"step", "split"}
    }


@pytest.mark.parametrize("step", [None, "best"])
def test_a_run_is_evaluated_to_the_figures_that_its_version_found(kept: Path, step) -> None:
    (file,) = (kept / "done" / "evaluation").glob("*.json")
    recorded = json.loads(file.read_text())
    found = evaluate_run(kept / "done", step=step)
    assert Path(found["json"]) == file
    for name in ("step", "weights", "examples"):
        assert found[name] == recorded[name]
    for name in ("loss", "top1", "top5", "expected_calibration_error"):
        assert found[name] == pytest.approx(recorded[name], **ROUNDING)
    assert np.abs(np.subtract(found["confusion_matrix"], recorded["confusion_matrix"])).sum() <= 6


def test_a_sweep_is_reported(kept: Path) -> None:
    page = write_report(kept / "sweep")
    none, se = csv.DictReader((page.parent / "table.csv").read_text().splitlines())
    finals = [
        json.loads((kept / "sweep" / "runs" / "none" / f"seed{seed}" / "summary.json").read_text())
        for seed in (0, 1)
    ]
    shares = [final["final"]["test"]["top1"] for final in finals]
    assert float(none["mean"]) == pytest.approx(100 * sum(shares) / 2)
    assert (none["variant"], none["n"], se["variant"], se["pairs"]) == (
        *("none", "2"),
        *("SE, reduction 4", "2"),
    )
    assert float(se["macs"]) > float(none["macs"]) > 0
    assert (none["published_1"], se["published_1_std"]) == ("23.3", "0.1")
    (table,) = json.loads((page.parent / "table.json").read_text())
    assert table["metric"] == {"name": "test/top1", "unit": "%", "higher_is_better": True}
    assert {path.name for path in (page.parent).glob("*.png")} == {
        *("accuracy_against_cost.png", "curves.png", "differences.png", "seeds.png"),
        "training_loss.png",
    }


def request(file: str, recipe, folder: Path, seeds) -> Request:
    return Request(
        file=file,
        recipe=recipe,
        changed={},
        seeds=seeds,
        workdir=folder,
        launcher="local",
        parallel=1,
        max_losses=0,
        stall=0.0,
    )


def test_a_sweep_goes_on_without_training_anything_again(kept: Path, monkeypatch) -> None:
    monkeypatch.undo()  # its networks are real
    file = str(kept / "recipe.py")
    recipe, variants = grid.load(file)
    assert cost.missing(kept / "sweep") == []
    before = store.read(kept / "sweep")
    asked = request(file, recipe, kept / "sweep", seeds=(0, 1))
    sweep(
        GridRequest(
            **vars(asked),
            grid=variants,
            outlines=check(recipe, variants, file),
            variants=list(variants.variants),
            retry_failed=False,
            cost=True,
        )
    )
    after = store.read(kept / "sweep")
    assert before is not None
    assert after is not None
    assert before.variants == after.variants
    assert (kept / "sweep" / "report" / "report.html").exists()
    assert not list((kept / "sweep").glob("runs/*/*/.lock"))


def test_a_search_goes_on_to_the_same_best_trial(kept: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("optuna", reason="the search extra is not installed")
    monkeypatch.undo()
    file, folder = str(kept / "recipe.py"), kept / "search"
    before = json.loads((folder / "search.json").read_text())
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(search=True, trials=3):
        asked = request(file, cli.load_config(file), folder, seeds=(0,))
        search.search(search_flags.request(asked))
    after = json.loads((folder / "search.json").read_text())
    assert {name: value for name, value in after.items() if name not in {"config", "how"}} == {
        name: value for name, value in before.items() if name not in {"config", "how"}
    }
    assert "best: trial 1, top1 0.1250" in capsys.readouterr().out
