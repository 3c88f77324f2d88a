"""The task of docs/adding_a_task.md, word by word: trained, evaluated, swept, searched and reported."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from chanattn import tasks
from chanattn.models import heads
from chanattn.report.evaluation_table import show
from chanattn.report.run_pictures import draw_evaluation, draw_run
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT

WALK = (ROOT / "docs" / "adding_a_task.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with the two files of the page."""
    folder = tmp_path_factory.mktemp("own")
    blocks = re.findall(r"```python\n(.*?)```", WALK, re.DOTALL)
    for name, block in zip(("numbers_task", "digits_as_numbers"), blocks, strict=True):
        assert f"`{name}.py`" in WALK
        (folder / f"{name}.py").write_text(block, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(own, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(own))
        patch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
        patch.setattr(heads, "_HEADS", dict(heads._HEADS))
        import digits_as_numbers

        config = digits_as_numbers.get_config()
        config.logging.tensorboard = False
        workdir = tmp_path_factory.mktemp("run") / "run"
        train_and_evaluate(config, workdir)
        yield workdir
    for name in ("digits_as_numbers", "numbers_task"):
        del sys.modules[name]


def test_it_learns_and_reports_its_own_metrics(run):
    summary = json.loads((run / "summary.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["split"] == "train"]
    assert {"loss", "mae", "learning_rate"} < trained[-1].keys()
    assert "top1" not in trained[-1]
    assert list(summary["final"]["test"]) == ["mae", "correlation", "loss"]
    assert summary["final"]["test"]["mae"] < 1.5  # 2.5 for a constant
    best = min((line for line in lines if line["split"] == "test"), key=lambda line: line["mae"])
    assert summary["best"]["test"]["step"] == best["step"]


def test_an_evaluation_afterwards_gives_the_numbers_of_the_one_in_training(run):
    summary = json.loads((run / "summary.json").read_text())
    found = evaluate_run(run)
    for name, value in summary["final"]["test"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
    assert found["examples"] == 355
    with (console := Console(highlight=False, width=100)).capture() as capture:
        show(found | draw_evaluation(found["json"]), console)
    printed = capture.get()
    assert f"mean absolute error {found['mae']:.4f}" in " ".join(printed.replace("│", " ").split())
    assert "calibration" not in printed
    assert not list((run / "evaluation").glob("*.png"))  # there are no confusions to draw
    draw_run(run)
    assert (run / "curves.png").stat().st_size > 10_000


def command(own, *arguments):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "chanattn.sweep",
            f"--config={own / 'digits_as_numbers.py'}",
            *arguments,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(own)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_swept_and_reported_by_its_own_metrics(own, tmp_path):
    short = ("--config.steps=8", "--config.eval_every=8", "--config.logging.tensorboard=false")
    command(own, f"--workdir={tmp_path / 'sweep'}", "--nocost", *short)
    report = tmp_path / "sweep" / "report"
    table = (report / "table.md").read_text()
    assert "mean absolute error" in table
    assert "top-1" not in table
    (told,) = json.loads((report / "table.json").read_text())
    assert told["metric"] == {"name": "test/mae", "unit": "", "higher_is_better": False}
    for row in told["rows"]:
        run = tmp_path / "sweep" / "runs" / row["variant"] / "seed0"
        summary = json.loads((run / "summary.json").read_text())
        assert row["mean"] == summary["final"]["test"]["mae"]


@pytest.mark.slow
def test_it_is_searched_for_the_lowest_error(own, tmp_path):
    command(
        own,
        f"--workdir={tmp_path / 'search'}",
        *("--search", "--trials=2", "--seeds=1", "--parallel=1", "--noprune"),
        *("--config.dataset.split=train[:80%]", "--search_split=train[80%:]"),
        "--search_space=optimizer.learning_rate=choice:1e-9,0.01",
        *("--config.steps=20", "--config.eval_every=20", "--config.logging.tensorboard=false"),
    )
    found = json.loads((tmp_path / "search" / "search.json").read_text())
    assert found["metric"] == "mae"
    values = [trial["value"] for trial in found["trials"]]
    assert found["best"]["value"] == min(values)
