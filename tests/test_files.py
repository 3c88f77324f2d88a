"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from chanattn import files


def test_what_was_there_stays_if_the_new_content_does_not_get_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    files.write_json(path, {"steps": 1})

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"steps": 2})
    assert path.read_text() == '{\n  "steps": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_others_may_read_a_file_as_far_as_the_umask_lets_them(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "file", "é")
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == "é".encode()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
