"""Predictions as a table, as JSON and as drawings; what cannot be read is named, and the rest answered."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.prediction import Unreadable, output
from chanattn.tasks.classification import Classification
from chanattn.tasks.drawing import above_bars

ANSWER = {"cat": 0.75, "a $dog\n🐕": 0.25}


class Fake:
    """Answers the same on every file, but on those that are called bad."""

    origin: ClassVar = {"run": "runs/a", "step": 3, "weights": "raw"}
    class_names = ("cat", "dog")
    task = Classification()
    config = ConfigDict({"task": {"name": "classification"}})

    def answers(self, files: Sequence[Path], most: int) -> Iterator[Any]:
        for file in files:
            yield Unreadable(str(file), "it is bad") if "bad" in file.name else ANSWER

    def draw(self, file: Path, answer: dict[str, float]) -> np.ndarray:
        return above_bars(np.zeros((6, 9, 3), np.uint8), answer)

    def conditions(self, pictures: int) -> dict[str, Any]:
        return {"batch_size": pictures}


def predict(*names: str, **options: Any) -> None:
    output.predict(Fake(), [Path(name) for name in names], **options)  # type: ignore[arg-type]


def test_everything_is_written_and_what_is_left_out_named_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("x/a.png", "bad\n1.jpg", "y/a.png", "../" + "ä" * 120 + ".jpg")
    with pytest.raises(UsageError, match=r"^1 of 4 pictures could not be read$"):
        predict(*names, top=2, json=tmp_path / "out.json", save=tmp_path / "drawn")
    out, err = capsys.readouterr()
    assert err == "skipped: picture bad\\n1.jpg cannot be read (it is bad)\n"
    assert "runs/a, step 3 (raw weights)" in out
    assert out.count("75.00%") == 3
    told = json.loads((tmp_path / "out.json").read_text())
    assert [each["picture"] for each in told["predictions"]] == [names[0], names[2], names[3]]
    assert told["predictions"][0]["answer"] == ANSWER
    assert told["unreadable"] == [{"picture": "bad\n1.jpg", "reason": "it is bad"}]
    assert (told["run"], told["step"], told["how"]) == ("runs/a", 3, {"batch_size": 4})
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["0001-a.png", "0003-a.png", f"0004-{'ä' * 50}.png"]
    assert cv2.imread(str(tmp_path / "drawn" / "0001-a.png")).shape[1] == 400


def test_where_nothing_can_be_read_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"^picture bad cannot be read \(it is bad\)$"):
        predict("bad")
    with pytest.raises(UsageError, match=r"^none of the 4 pictures .*bad2 \(it is bad\) and 1 mo"):
        predict("bad0", "bad1", "bad2", "bad3")
    assert capsys.readouterr() == ("", "")


def test_places_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"^cannot write .*/file/a.json: .*; choose another --json"
    ):
        predict("a.png", json=tmp_path / "file" / "a.json")
    for options in (
        {"json": tmp_path / "file" / "a.json"},
        {"json": tmp_path},
        {"save": tmp_path / "file"},
    ):
        with pytest.raises(UsageError, match=r"is a f(ile|older)"):
            output.check(options.get("json"), options.get("save"))


@pytest.mark.parametrize("size", [(1, 1), (3000, 10), (10, 3000)])
def test_a_drawing_is_small_whatever_the_picture(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), (255, 0, 0), np.uint8)
    drawn = above_bars(picture, ANSWER)
    assert drawn.shape[1] == 400
    assert drawn.shape[0] < 700
    assert (drawn == (255, 0, 0)).all(axis=2).any()
    assert (drawn != above_bars(picture, {"cat": 0.5, "dog": 0.5})).any()
