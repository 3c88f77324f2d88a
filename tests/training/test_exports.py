"""What a task exports lies beside its evaluation: detections that pycocotools reads, and measures alike."""

import contextlib
import io
import json
from pathlib import Path

import jax.numpy as jnp
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_detections import random_answers
from small_runs import config_of

from chanattn import tasks
from chanattn.report.run_pictures import draw_evaluation
from chanattn.tasks import average_precision, found_objects
from chanattn.tasks.classification import Classification
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate

FOUND = random_answers()


class Boxed(Classification):
    """A detection whose answers are known beforehand; what the network says is ignored."""

    metrics = average_precision.METRICS
    details = ()
    measured_from_answers = True
    exports = staticmethod(found_objects.exported)

    def answers(self, model, weights, outputs, batch):
        del model, weights, outputs
        return {name: jnp.asarray(array)[batch["index"]] for name, array in FOUND.items()}

    def results(self, totals, answers, class_names):
        del totals
        return average_precision.scores(answers, class_names)


@pytest.fixture
def run(tiny_runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(tasks._TASKS, "classification", Boxed)
    config = config_of(steps=1, log_every=1, eval_every=1)
    config.ema.decay = 0.0
    config.dataset.update(synthetic_classes=4, synthetic_examples=60, eval_split="test[:30]")
    train_and_evaluate(config, tmp_path / "run")
    return tmp_path / "run"


def test_pycocotools_gets_the_numbers_of_the_evaluation_from_the_files(run: Path) -> None:
    result = evaluate_run(run)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["final"]["test"] == {
        metric.name: result[metric.name] for metric in Boxed.metrics
    }
    assert summary["per_class"]["test"]["per_class_ap50"] == result["per_class_ap50"]
    name = Path(result["json"]).stem
    files = [Path(path) for path in result["exports"]]
    assert [file.name for file in files] == [
        f"{name}.detections.json",
        f"{name}.ground_truth.json",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(files[1]))
        evaluation = COCOeval(known, known.loadRes(str(files[0])), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    expected = [result[metric.name] for metric in Boxed.metrics[:12]]
    assert evaluation.stats.tolist() == pytest.approx(expected, abs=1e-3)  # boxes are rounded
    image = known.imgs[7]
    assert (image["width"], image["height"]) == (400, 400)
    names = {image["file_name"] for image in known.imgs.values()}
    assert names <= {f"synthetic/test[{n}]" for n in range(60)}
    assert len(names) == 30
    assert {entry["name"] for entry in known.cats.values()} == set(result["class_names"])
    first = json.loads(files[0].read_text())[0]
    assert list(first) == ["image_id", "category_id", "bbox", "score", "file_name"]
    assert set(draw_evaluation(result["json"])) == {"picture", "bars", "curve"}
