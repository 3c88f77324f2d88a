"""Files of runs and sweeps as typed values: what is written is read again, and what a missing field means."""

import json
from pathlib import Path

import pytest

from chanattn.runs.cost import Costs
from chanattn.runs.environment import Environment
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.failure import Failure
from chanattn.runs.initialisation import Initialisation, Part
from chanattn.runs.json_object import Damaged
from chanattn.runs.metric import EARLIER, Metric
from chanattn.runs.run import Run, metrics_of
from chanattn.runs.summary import Summary
from chanattn.runs.sweep import SweepRecord
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.status import status
from chanattn.training.metrics_log import read_scores
from chanattn.training.record import Record
from tests.conftest import ROOT

ERROR = Metric("error", "pixel error", "%", higher_is_better=False)
LOSS = Metric("loss", "loss", "nats", higher_is_better=False)
SPREAD = {"median": 2.5, "low": 2.0, "high": 3.0, "rounds": [2.0, 2.5, 3.0]}
COST = {
    "format": 1,
    "hardware": {"cpu": "a processor"},
    "how": {"rounds": 3},
    "conventions": "one MAC is one product",
    "variants": {
        "none": {
            **{"parameters": 7, "macs": 8, "elementwise": 9, "attention": {"parameters": 0}},
            **{"batch_size": 4, "precision": "float32", "image_shape": [8, 8, 3]},
            **{"num_classes": 10, "train_step_ms": SPREAD, "train_images_per_s": SPREAD},
            **{"infer_ms": SPREAD, "infer_images_per_s": SPREAD, "infer_latency_ms": None},
            **{"devices": 1, "kernels": "xla", "peak_memory_bytes": 1024},
        }
    },
}
SWEEP = {
    "format": 1,
    "name": "se",
    "title": "SE",
    "note": "",
    "config": "se.py",
    "baseline": "none",
    "seeds": [0, 3],
    "variants": {"none": {"directory": "none", "overrides": {"a.b": [1, 2]}, "wanted": [3]}},
    "published": [
        {
            **{"source": "s", "setting": "t", "metric": "top-1 error, %", "note": ""},
            **{"higher_is_better": False, "values": {"none": [23.3, 0.1]}},
        }
    ],
    "how": {"git": None},
}


BEGUN = Initialisation(
    source="runs/a@best",
    step=9,
    weights="ema",
    parts=(Part("stem", 3, 0), Part("head", 0, 5, ("not in the weights",))),
    fresh=("classifier/bias",),
    surplus={"x": "has no counterpart here"},
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for kind, values in ((Costs, COST), (SweepRecord, SWEEP)):
        kind.from_json(values, tmp_path / "file").write(tmp_path)
        read = kind.read(tmp_path)
        assert read is not None
        assert json.loads(json.dumps(read.to_json())) == values
    for written in (
        Environment(metrics=(ERROR, LOSS), image_shape=(None, None, 3)),
        Environment(python="3.11", devices=("cpu",), metrics=(ERROR, LOSS)),
        Environment(initialisation=BEGUN, trainable_parameters=3),
        Summary(steps=3, final={"test": {"error": 0.5}}, metrics=(ERROR,)),
        Failure(code=None, detail="killed by SIGKILL", last_lines=("a", "b"), time="now"),
    ):
        written.write(tmp_path)
        assert type(written).read(tmp_path) == written
    evaluation = Evaluation(run="a", step=3, results={"error": None, "more": [1]}, metrics=(ERROR,))
    evaluation.write(tmp_path / "evaluation" / "x.json")
    assert Evaluation.read(tmp_path / "evaluation" / "x.json") == evaluation


def test_every_file_of_an_empty_folder_is_absent(tmp_path: Path) -> None:
    kinds = (Costs, SweepRecord, Environment, Summary, Failure)
    assert [kind.read(tmp_path) for kind in kinds] == [None] * len(kinds)
    assert metrics_of(tmp_path) == EARLIER
    assert Run.read("none", 0, tmp_path / "absent").state == "not started"


def test_a_file_of_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"format": 3}')
    with pytest.raises(Damaged, match="has format 3, and this version reads 2"):
        Summary.read(tmp_path)
    assert Run.read("none", 0, tmp_path).state == "failed"


def test_fields_of_others_are_passed_over_and_those_that_are_absent_have_a_meaning() -> None:
    told = Environment.from_json({"platform": "cpu", "packages": 3, "new": 1})
    assert (told.platform, told.packages, told.git, told.metrics) == ("cpu", {}, None, EARLIER)
    assert (told.image_shape, told.initialisation) == (None, None)
    strange = {"parts": [3, {"name": "stem", "more": 1}], "fresh": 1, "surplus": None, "more": 1}
    told = Environment.from_json({"initialisation": strange})
    assert told.initialisation == Initialisation(parts=(Part("stem"),))
    assert [metric.name for metric in EARLIER] == ["top1", "top5", "loss"]
    entry = {"directory": "none", "overrides": {}}
    index = SweepRecord.from_json({**SWEEP, "variants": {"none": entry}}, Path("sweep.json"))
    assert index.variants["none"].wanted == (0, 3)


def test_metrics_are_shown_in_their_unit() -> None:
    assert (ERROR.shown(0.125), LOSS.shown(0.125)) == ("12.50%", "0.1250")
    assert (ERROR.heading, LOSS.heading) == ("pixel error (%)", "loss (nats)")


def test_the_first_metric_decides_what_is_best_whichever_way_it_points(tmp_path: Path) -> None:
    record = Record()
    lines = []
    for step, error in ((1, 0.5), (2, 0.25), (3, 0.375)):
        record.add_evaluation(step, {"test": {"error": error, "top1": error}}, ERROR)
        lines.append(json.dumps({"step": step, "split": "test", "error": error, "top1": error}))
    record.add_evaluation(4, {"test": {"error": None, "top1": 1.0}}, ERROR)  # nothing to measure
    assert record.best["test"]["step"] == 2
    assert record.final["test"]["error"] is None
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert max(read_scores(tmp_path), key=read_scores(tmp_path).__getitem__) == 1  # of top1
    Environment(metrics=(ERROR,)).write(tmp_path)
    assert read_scores(tmp_path) == {1: -0.5, 2: -0.25, 3: -0.375}
    now = status(Job("none", 0, tmp_path / "config.json", tmp_path))
    assert (now.metric, now.result, now.step) == (ERROR, 0.375, 3)


def test_everything_of_the_archived_cost_is_kept(tmp_path: Path) -> None:
    import shutil

    archive = ROOT / "tests" / "golden" / "runs" / "0.1.0.tar.xz"
    shutil.unpack_archive(archive, tmp_path, filter="data")
    values = json.loads((tmp_path / "sweep" / "cost.json").read_text())
    assert json.loads(json.dumps(Costs.from_json(values).to_json())) == values
