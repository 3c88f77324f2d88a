"""Pictures of one's own as a source: what is too large, or no file, is told before it is decoded or read."""

import contextlib
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from jax.sharding import Mesh

from chanattn import data
from chanattn.data.decode import stored_size
from chanattn.data.sources import own_pictures
from chanattn.data.sources.own_pictures import OwnPictures

PIXELS = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".gif", ".bmp"])
def test_the_size_is_read_from_the_header(kind: str) -> None:
    content = cv2.imencode(kind, PIXELS)[1].tobytes()
    assert stored_size(content) == (None if kind == ".bmp" else (5, 7))
    assert stored_size(content[:8]) is None


def test_what_is_too_large_or_no_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(bytes(100))
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 40_000, 30_000)
    names = ("folder", "pipe", "long", "absent")
    source = OwnPictures([*(tmp_path / name for name in names), header], (None, None, 3))
    monkeypatch.setattr(own_pictures, "MOST_BYTES", 99)
    told = [str(error) for error in source.read(range(5))]
    assert told[:3] == [
        "it is a folder",
        "it is no file",
        "it has 100 bytes, more than 2^30: reduce it first",
    ]
    assert "No such file" in told[3]
    assert told[4] == "it has 40000x30000 pixels, more than 2^28: reduce it first"


def test_arrays_become_as_many_channels_as_the_network_was_given() -> None:
    grey = cv2.cvtColor(PIXELS, cv2.COLOR_RGB2GRAY)
    for channels, expected in ((1, [grey[..., None]] * 2), (3, [PIXELS, np.stack([grey] * 3, -1)])):
        records = OwnPictures([PIXELS, grey], (None, None, channels)).read([0, 1])
        for record, wanted in zip(records, expected, strict=True):
            np.testing.assert_array_equal(record.image, wanted)  # type: ignore[union-attr]


def test_what_stored_pictures_are_like_is_known_of_every_source(
    make_config, mesh: Mesh, tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "test" / name / "0.png"), PIXELS)
    for size, expected in ((0, (5, 7, 3)), (8, (None, None, 3))):
        config = make_config("folder", data_dir=str(tmp_path), image_size=size)
        with contextlib.closing(data.evaluation(config, mesh)) as examples:
            assert examples.stored_shape == expected
        assert data.stored(config) == (expected, ("cat", "dog"))
    assert data.stored(make_config("digits")).shape == (8, 8, 1)
    names = data.stored(make_config("fashion_mnist", data_dir=str(tmp_path))).class_names
    assert names[0] == "T-shirt/top"
