"""The inspection of a run: its numbers are those of its evaluation, its files are read by a report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_sweep import write_sweep
from small_runs import config_of

from chanattn import data
from chanattn.inspect import of_task
from chanattn.inspect.inspection import Effort
from chanattn.inspect.run import Inspected, inspect_run, static_twin
from chanattn.inspect.text import table
from chanattn.inspect.thumbnails import thumbnails
from chanattn.report.inspection_page import pictures_of
from chanattn.report.sweep_report import write_report
from chanattn.runs.inspection import Inspection
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate

EFFORT = Effort(draws=1, resamples=20, batches=1, units=3, pictures=2, strongest=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("inspected") / "se"
    train_and_evaluate(config_of(steps=2, log_every=2, eval_every=2, checkpoint_every=2), workdir)
    return workdir


@pytest.fixture(scope="module")
def inspected(run: Path) -> Inspected:
    return inspect_run(run, effort=EFFORT)


def test_the_untouched_network_is_that_of_the_evaluation(run: Path, inspected: Inspected) -> None:
    values = json.loads((run / "inspection" / "inspection.json").read_text())
    evaluated = evaluate_run(run)
    assert values["pictures"] == evaluated["examples"]
    for name in ("top1", "loss"):
        untouched = values["input_matters"]["untouched"][name]["value"]
        assert untouched == pytest.approx(evaluated[name], rel=1e-4)
    assert values["weights"] == "ema"
    assert [module["mechanism"] for module in values["modules"]] == ["se"] * 3
    assert list(values["input_matters"]["replaced"]["mean"])[-1] == "all"
    assert values["how"]["versions"]["jax"]
    assert values["how"]["effort"]["seed"] == values["drawn"]["seed"] == 0


def test_the_numbers_of_pictures_are_those_of_the_split(inspected: Inspected) -> None:
    for picture in inspected.inspection.values["single_pictures"]:
        (record,) = inspected.source.read([picture["index"]])
        assert isinstance(record, data.source.Record)
        assert record.fields["label"] == picture["label"]
    shown = thumbnails(inspected.source, pictures_of(inspected.inspection.values))
    assert list(shown) == pictures_of(inspected.inspection.values)
    assert all(png.startswith(b"\x89PNG") for png in shown.values())


def test_the_table_has_a_line_a_module_and_one_for_all(inspected: Inspected) -> None:
    lines = table(inspected.inspection.values).splitlines()
    assert lines[0].startswith("top-1 accuracy ")
    assert [line.split()[0] for line in lines[2:6]] == [
        *(f"stage{stage}_block1/attention" for stage in (1, 2, 3)),
        "all",
    ]


def test_the_static_twin_of_a_run_is_that_of_its_sweep_and_seed(tmp_path: Path) -> None:
    names = {"se": "se", "fixed": "static"}
    overrides = {name: {"model.attention.name": chosen} for name, chosen in names.items()}
    values = {"se": [0.9, 0.91], "fixed": [0.8, 0.82]}
    sweep = write_sweep(tmp_path / "sweep", values, overrides=overrides)
    twin = static_twin(sweep / "runs" / "variant0" / "seed1")
    assert twin is not None
    assert (twin["metric"], twin["split"], twin["value"]) == ("top1", "test", 0.82)
    assert twin["run"].endswith("variant1/seed1")
    assert static_twin(sweep / "runs" / "variant1" / "seed1") is None


def test_a_report_shows_what_exchanging_weights_does(tmp_path: Path) -> None:
    sweep = write_sweep(
        tmp_path / "sweep", {"none": [0.9, 0.91], "se": [0.92, 0.94], "eca": [0.9, 0.9]}
    )

    def inspect(variant: int, seed: int, difference: float, low: float, high: float) -> None:
        replaced = {"difference": difference, "difference_interval": [low, high]}
        values: dict[str, Any] = {
            "score": {"name": "top1"},
            "input_matters": {"replaced": {"another": {"all": {"top1": replaced}}}},
        }
        Inspection(values).write(sweep / "runs" / f"variant{variant}" / f"seed{seed}")

    assert "does the input matter?" not in write_report(sweep).read_text()
    inspect(1, 0, -0.02, -0.03, -0.01)
    inspect(1, 1, -0.01, -0.02, 0.001)
    inspect(2, 0, 0.001, -0.002, 0.004)
    (sweep / "runs" / "variant2" / "seed1" / "inspection").mkdir()
    (sweep / "runs" / "variant2" / "seed1" / "inspection" / "inspection.json").write_text("{")
    page = write_report(sweep).read_text()
    assert "does the input matter? points" in page
    assert "−1.50<small>2 seeds, 1 with an interval without 0</small>" in page
    assert "+0.10 [−0.20, +0.40]" in page


def test_the_classes_of_a_segmentation_are_what_its_pictures_show() -> None:
    label_map = np.array([[[0, 2], [255, 2]], [[1, 1], [1, 1]]])
    task = type("Segmentation", (), {"fields": ("label_map",)})
    classes, shown = of_task.classes_of(task, ("a", "b", "c"))  # type: ignore[arg-type]
    assert not classes.exclusive
    assert shown({"label_map": label_map}).tolist() == [[True, False, True], [False, True, False]]
