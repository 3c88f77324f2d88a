"""JPEGs of the size of photographs, and the speed at which they and sets on the device become batches."""

from pathlib import Path

import cv2
import pytest

from benchmarks import jpegs, pipeline


def test_jpegs_have_the_size_of_photographs(tmp_path: Path) -> None:
    kilobytes = jpegs.write(tmp_path, 4, classes=2)
    files = sorted(tmp_path.rglob("*.jpg"))
    assert [len(list((tmp_path / split).rglob("*.jpg"))) for split in ("train", "test")] == [4, 2]
    assert cv2.imread(str(files[0])).shape == (375, 500, 3)
    assert kilobytes == pytest.approx(sum(f.stat().st_size for f in files) / len(files) / 1000)
    assert 50 < kilobytes < 200  # ImageNet's mean is about 110


def test_a_set_on_the_device_is_measured() -> None:
    row = pipeline.on_device("digits", batches=1, rounds=1)
    assert row["source"] == "digits on the device"
    assert row["images_per_s"] > 0


def test_jpegs_are_measured() -> None:
    (row,) = pipeline.streamed(pictures=20, batch=4, workers=[0], batches=2, rounds=1)
    assert (row["workers"], row["batch"]) == (0, 4)
    assert 0 < row["spread"][0] <= row["images_per_s"] <= row["spread"][1]
