"""A task that is one file, one head and one recipe: trained, evaluated, swept, searched and reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate

OWN = Path(__file__).parent / "own"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(OWN))
        import recipe

        config = recipe.get_config()
        config.logging.tensorboard = False
        workdir = tmp_path_factory.mktemp("own") / "run"
        train_and_evaluate(config, workdir)
        yield workdir


def test_it_learns_and_reports_its_own_metrics(run):
    summary = json.loads((run / "summary.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["split"] == "train"]
    assert {"loss", "mae", "learning_rate"} < trained[-1].keys()
    assert "top1" not in trained[-1]
    assert list(summary["final"]["test"]) == ["mae", "correlation", "loss"]
    assert summary["final"]["test"]["mae"] < 1.5 < summary["final"]["test"]["loss"] + 1.5
    assert (
        summary["best"]["test"]["step"]
        == min((line for line in lines if line["split"] == "test"), key=lambda line: line["mae"])[
            "step"
        ]
    )


def test_an_evaluation_afterwards_gives_the_numbers_of_the_one_in_training(run):
    summary = json.loads((run / "summary.json").read_text())
    found = evaluate_run(run)
    for name, value in summary["final"]["test"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
    assert found["examples"] == 355
