"""Pictures: every curve that the metrics hold is drawn, and named once."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from chanattn.errors import UsageError
from chanattn.report.confusion import plot_confusion
from chanattn.report.curves import plot_curves


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def note(self: Figure, *args: object, **kwargs: object) -> None:
        saved.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", note)
    return saved


def write_run(folder: Path, lines: list[dict]) -> Path:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


LINES = [
    {"step": 1, "split": "train", "loss": 2.0, "top1": 0.25},
    {"step": 2, "split": "train", "loss": None, "top1": 0.5},
    {"step": 2, "split": "test", "loss": 1.5, "top1": 0.5},
    {"step": 2, "split": "ema", "loss": 1.25, "top1": 0.75},
]


def test_curves_of_one_run(tmp_path: Path, figures: list[Figure]) -> None:
    run = write_run(tmp_path / "a", LINES)
    plot_curves([run], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss, top1 = figures[0].axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[1, 2.0]],
        [[2, 1.5]],
        [[2, 1.25]],
    ]
    assert top1.lines[0].get_ydata().tolist() == [25.0, 50.0]  # per cent
    assert "accuracy" in top1.get_ylabel()
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names == ["train", "test", "test, moving average"]


def test_curves_of_two_runs_have_their_names_and_colours(
    tmp_path: Path, figures: list[Figure]
) -> None:
    runs = [write_run(tmp_path / name, LINES[:1]) for name in ("se", "plain")]
    plot_curves(runs, tmp_path / "curves.png", "two")
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names == ["se: train", "plain: train"]
    colours = {line.get_color() for line in figures[0].axes[0].lines}
    assert len(colours) == 2


def test_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no metrics\.jsonl"):
        plot_curves([tmp_path], tmp_path / "curves.png")


def test_confusion_matrix_shows_share_and_counts(tmp_path: Path, figures: list[Figure]) -> None:
    matrix = np.array([[3, 1], [0, 0]])
    plot_confusion(matrix, ["cat", "dog"], tmp_path / "confusion.png", "title")
    axes = figures[0].axes[0]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert [text.get_text() for text in axes.texts] == ["3", "1", "not in this split"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
