"""Pictures: they show the numbers, and their labels can be read."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from fake_sweep import write_sweep
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from chanattn.labels import for_picture
from chanattn.report.comparison import Comparison, compare_all
from chanattn.report.pictures import pictures

VALUES = {"none": [0.90, 0.91, 0.92], "se": [0.92, 0.94, 0.93], "eca": [0.93, 0.91, None]}
TABLE = {
    "source": "s",
    "setting": "t",
    "metric": "top-1 error, %",
    "higher_is_better": False,
    "values": {"none": 23.3, "se": 22.3},
}


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


def drawn(folder: Path, **kwargs: object) -> tuple[Comparison, list[str]]:
    write_sweep(folder, **{"values": VALUES, **kwargs})  # type: ignore[arg-type]
    (comparison,) = compare_all([folder], "test/top1")
    found = pictures(comparison, comparison.rows)
    assert all(picture.png.startswith(b"\x89PNG") and picture.alt for picture in found)
    return comparison, [picture.name for picture in found]


def test_pictures_show_the_numbers(tmp_path: Path, figures: list[Figure]) -> None:
    cost = {
        name: {"macs": 1e6 * i, "infer_latency_ms": {"median": 2.0 * i, "low": 1.0, "high": 9.0}}
        for i, name in enumerate(VALUES, 1)
    }
    _, names = drawn(tmp_path / "s", cost=cost, published=[TABLE])
    assert names == ["accuracy_against_cost", "seeds", "differences", "curves", "training_loss"]
    costs, seeds, differences, curves, losses = figures

    parameters, macs, latency = costs.axes
    assert "accuracy (%)" in parameters.get_ylabel()
    assert [bars.lines[0].get_xydata().tolist()[0] for bars in macs.containers] == pytest.approx(
        np.array([[1e6, 91.0], [2e6, 93.0], [3e6, 92.0]])
    )
    (across, upright) = latency.containers[1].lines[2]
    assert across.get_segments()[0][:, 0].tolist() == [1.0, 9.0]
    assert upright.get_segments()[0][:, 1] == pytest.approx([92.0, 94.0])  # a deviation of 1

    (axes,) = seeds.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata() for line in dots] == [
        pytest.approx(values) for values in ([90, 91, 92], [92, 94, 93], [93, 91])
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["none", "se", "eca (2/3)"]

    (axes,) = differences.axes
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert means == pytest.approx([2.0, 1.5])
    (published,) = (line for line in axes.lines if line.get_marker() == "D")
    assert published.get_xdata() == pytest.approx([1.0])  # an error that falls by a point
    assert "published difference [1]" in [t.get_text() for t in differences.legends[0].get_texts()]

    panel = curves.axes[0]
    grey, colour = panel.lines
    assert grey.get_xdata().tolist() == [100, 200, 300]
    assert grey.get_ydata()[-1] == pytest.approx(91.0)
    assert colour.get_ydata()[-1] == pytest.approx(93.0)
    band = panel.collections[1].get_paths()[0].vertices
    assert band[band[:, 0] == 300][:, 1] == pytest.approx([92.0, 94.0, 94.0], abs=1e-9)
    assert [axes.get_title() for axes in curves.axes] == ["se", "eca (2/3)"]
    assert losses.axes[0].lines[0].get_ydata()[-1] == pytest.approx(0.5)


def test_what_there_are_no_numbers_for_is_not_drawn(tmp_path: Path) -> None:
    none = drawn(tmp_path / "a", values={"none": [None], "se": [None]})[1]
    assert none == []
    alone = drawn(tmp_path / "b", values={"none": [0.9]})[1]
    assert alone == ["accuracy_against_cost", "seeds", "curves", "training_loss"]
    one = drawn(tmp_path / "c", values={"none": [0.9], "se": [0.91]}, steps=[])[1]
    assert one == ["accuracy_against_cost", "seeds", "differences"]


def test_published_figures_of_another_metric_are_not_drawn(
    tmp_path: Path, figures: list[Figure]
) -> None:
    drawn(tmp_path / "s", published=[TABLE | {"metric": "box AP"}])
    assert not any(line.get_marker() == "D" for line in figures[2].axes[0].lines)


def check_apart(texts: list[Text], figure: Figure) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for text, box in boxes:
        inside = box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
        assert inside, f"{text} is cut off"
    for (one, box), (two, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), f"{one} lies on {two}"


@pytest.mark.parametrize("variants", [6, 12])
def test_labels_do_not_overlap(tmp_path: Path, figures: list[Figure], variants: int) -> None:
    random = np.random.default_rng(0)
    names = ["$x_1$ <b>", "_hidden", "😀👩‍👩‍👧", *("W" * 40 + str(i) for i in range(variants))]
    values = {name: list(0.9 + 0.01 * random.random(3)) for name in names[:variants]}
    cost = {
        name: {"parameters": 272_474 + i, "macs": 40.8e6 + i, "infer_latency_ms": {"median": 2 + i}}
        for i, name in enumerate(values)
    }
    drawn(tmp_path / "s", values=values, cost=cost, published=[TABLE])
    assert len(figures) == 5
    for figure in figures:
        FigureCanvasAgg(figure).draw()
        legends = [text for legend in figure.legends for text in legend.get_texts()]
        titles = [axes.title for axes in figure.axes]
        ticks = [label for axes in figure.axes for label in shown_ticks(axes)]
        check_apart([*legends, *titles, *ticks], figure)


def shown_ticks(axes: Axes) -> list[Text]:
    """Labels of ticks that lie within the axes; Matplotlib keeps some beyond, which it does not draw."""
    frame = axes.bbox
    across, upright = axes.get_xticklabels(), axes.get_yticklabels()
    boxes = {label: label.get_window_extent() for label in (*across, *upright)}
    return [
        *(t for t in across if frame.x0 - 1 <= (boxes[t].x0 + boxes[t].x1) / 2 <= frame.x1 + 1),
        *(t for t in upright if frame.y0 - 1 <= (boxes[t].y0 + boxes[t].y1) / 2 <= frame.y1 + 1),
    ]


@pytest.mark.parametrize(
    ("label", "text"),
    [("se_r4", "se_r4"), ("λ=1e-4", "λ=1e-4"), ("$x$", r"\$x\$"), ("漢", "□"), ("a\u200db", "ab")],
)
def test_labels_are_drawn_as_they_stand(label: str, text: str) -> None:
    assert for_picture(label) == text
