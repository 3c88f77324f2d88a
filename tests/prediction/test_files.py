"""Which pictures a command line names."""

import os
from pathlib import Path

import pytest

from chanattn.errors import UsageError
from chanattn.prediction.files import find


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.gif", "notes.txt", ".hidden.jpg", "@eaDir/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "photos" / "unnamed").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


def test_folders_are_walked_as_image_folders_are(photos: Path) -> None:
    names = ["a.PNG", "b.jpg", "sub/c.gif", "unnamed"]
    assert find([str(photos)]) == [photos / name for name in names]


def test_files_are_taken_as_named_each_once(photos: Path) -> None:
    named = [photos / "notes.txt", photos / "b.jpg", photos / "sub", photos / "b.jpg"]
    assert find(list(map(str, named))) == [*named[:2], photos / "sub" / "c.gif"]


def test_patterns_are_expanded_unless_a_file_is_called_so(photos: Path) -> None:
    assert find([f"{photos}/?.*"]) == [photos / "a.PNG", photos / "b.jpg"]
    assert find([f"{photos}/**/*.gif"]) == [photos / "sub" / "c.gif"]
    (photos / "[ab].jpg").write_bytes(b"x")
    assert find([f"{photos}/[ab].jpg"]) == [photos / "[ab].jpg"]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([], "name the pictures"),
        (["absent.png"], "there is no picture or folder absent.png"),
        (["*.absent"], r"nothing matches \*.absent"),
        (["a" * 300], "File name too long"),
        (["http://a/b.jpg"], "is an address"),
        (["empty"], r"folder empty holds no pictures: .avif.*; 1 entry passed over \(.txt 1\)"),
    ],
)
def test_what_leads_nowhere_is_refused(
    named: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        find(named)


def test_links_in_a_circle_end(photos: Path) -> None:
    os.symlink(photos, photos / "sub" / "back")
    assert len(find([str(photos)])) == 4
