"""What command lines draw of a run: its curves, and the confusion matrix of an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from chanattn.errors import UsageError
from chanattn.report import curves
from chanattn.report.run_pictures import draw_evaluation, draw_run


def test_a_plot_that_fails_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def no_font(*arguments: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr(curves, "plot_curves", no_font)
    draw_run(tmp_path)
    assert "could not be drawn (ValueError: no font)" in capsys.readouterr().err


def test_curves_show_the_loss_and_the_metric_that_the_run_is_judged_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = [
        {"name": "error", "label": "pixel error", "unit": "%", "higher_is_better": False},
        {"name": "loss", "label": "loss", "unit": "nats", "higher_is_better": False},
    ]
    (tmp_path / "environment.json").write_text(json.dumps({"format": 2, "metrics": metrics}))
    line = {"step": 1, "split": "test", "loss": 2.0, "error": 0.25, "top1": 0.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    labels = []
    monkeypatch.setattr(curves, "_dress", lambda axes, label: labels.append((label, axes)))
    draw_run(tmp_path)
    assert (tmp_path / "curves.png").exists()
    assert [label for label, _ in labels] == ["loss (nats)", "pixel error (%)"]
    assert labels[1][1].lines[0].get_ydata().tolist() == [25.0]


def test_the_picture_of_an_evaluation_lies_beside_it_and_one_that_counts_nothing_has_none(
    tmp_path: Path,
) -> None:
    path = tmp_path / "digits-test.json"
    evaluation = {"run": "runs/a", "dataset": "digits", "split": "test", "top1": 0.5}
    path.write_text(json.dumps(evaluation))
    assert draw_evaluation(path) == {}
    counted = {"per_class_accuracy": {"a": 1.0, "b": 0.0}, "confusion_matrix": [[1, 0], [1, 0]]}
    path.write_text(json.dumps(evaluation | counted))
    assert draw_evaluation(path) == {"picture": str(tmp_path / "digits-test.png")}
    assert (tmp_path / "digits-test.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"there is no .*other\.json"):
        draw_evaluation(tmp_path / "other.json")


def test_classes_with_an_iou_have_bars_and_those_absent_from_the_split_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shapes.json"
    told = {
        "class_names": ["a", "b", "c"],
        "confusion_matrix": [[20_000, 0, 5], [0, 7, 0], [0, 0, 0]],
        "per_class_iou": {"a": 0.9, "b": 1.0, "c": 0.0},
    }
    path.write_text(json.dumps(told))
    texts = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **_: texts.append(text))
    pictures = draw_evaluation(path)
    assert pictures["bars"] == str(tmp_path / "shapes-classes.png")
    assert texts[:4] == ["100.0", "0.0", "100.0", "not in this split"]  # cells, in percent
    assert texts[4:] == ["90.0", "100.0", "not in this split"]


def test_detections_have_confusions_with_background_two_bars_a_class_and_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cells.json"
    falling = [1.0, 0.5, 0.0]
    metrics = [{"name": "ap", "label": "AP", "unit": "%"}, {"name": "ap50", "label": "AP50"}]
    told = {
        "class_names": ["a", "b"],
        "metrics": metrics,
        "confusion_matrix": [[3, 0, 1], [0, 0, 0], [0, 0, 0]],
        "confusion_names": ["a", "b", "background"],
        "per_class_ap": {"a": 0.25, "b": None},
        "per_class_ap50": {"a": 0.5, "b": None},
        "per_class_voc_ap50": {"a": 0.5, "b": None},
        "precision_recall": {
            "recall": [0.0, 0.5, 1.0],
            "ap50": {"a": falling, "b": None},
            "ap": {"a": falling, "b": None},
        },
    }
    path.write_text(json.dumps(told))
    texts: list[str] = []
    lines: list[Any] = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **_: texts.append(text))
    plot = Axes.plot

    def plotted(self: Axes, *args: Any, **options: Any) -> Any:
        lines.append((*args, options["label"]))
        return plot(self, *args, **options)

    monkeypatch.setattr(Axes, "plot", plotted)
    assert draw_evaluation(path) == {
        "picture": str(tmp_path / "cells.png"),
        "bars": str(tmp_path / "cells-classes.png"),
        "curve": str(tmp_path / "cells-precision.png"),
    }
    assert texts[:3] == ["3", "1", "not in this split"]  # said of b, and not of background
    assert texts[3:] == ["25.0", "not in this split", "50.0"]
    assert lines == [([0.0, 0.5, 1.0], falling, "a")] * 2
    assert (tmp_path / "cells-precision.png").read_bytes().startswith(b"\x89PNG")


def test_groups_of_words_have_bars_without_a_confusion_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shapes.json"
    told = {"class_names": ["<pad>", "red"], "per_class_words": {"colour": 0.75, "$size": None}}
    path.write_text(json.dumps(told))
    texts: list[str] = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **_: texts.append(text))
    labels: list[str] = []
    monkeypatch.setattr(
        Axes, "set_yticks", lambda self, places, names: labels.extend(names), raising=True
    )
    assert draw_evaluation(path) == {"bars": str(tmp_path / "shapes-classes.png")}
    assert texts == ["75.0", "not in this split"]
    assert labels == ["colour", r"\$size"]
