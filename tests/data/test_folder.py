"""Which files of a folder are pictures: one rule, one walk, and a note of what was passed over."""

import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chanattn.data.decode import decode
from chanattn.data.sources.folder import SUFFIXES, TOOL_FOLDERS, Folder
from chanattn.errors import UsageError
from chanattn.training.experiment import Experiment
from chanattn.training.overview import head

PIXELS = np.full((6, 8, 3), 90, np.uint8)
JPEG, PNG = (cv2.imencode(kind, PIXELS)[1].tobytes() for kind in (".jpg", ".png"))


def put(folder: Path, **files: bytes) -> Path:
    """A split with the classes `a`, of the files given, and `b` with one picture."""
    for name, content in (("b/1.jpg", JPEG), *files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def found(folder: Path) -> list[str]:
    source = Folder(folder)
    return [os.path.relpath(source.describe(i), folder) for i in range(len(source))][:-1]


@pytest.mark.parametrize(
    "name", ["1.JPG", "1.jfif", "1.Jpe", "1.webp", "1.GIF", "1.txt", "1", "ä.x"]
)
def test_what_the_decoder_reads_is_taken_whatever_it_is_called(tmp_path, name):
    content = cv2.imencode(".gif", PIXELS)[1].tobytes() if name.endswith("GIF") else JPEG
    assert found(put(tmp_path, **{f"a/{name}": content})) == [f"a/{name}"]


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES) - {".dib", ".jfif", ".jpe", ".pnm"}))
def test_opencv_reads_what_is_called_a_picture(suffix):
    if not cv2.haveImageWriter(f"1{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    grey = np.repeat(np.arange(40, 168, 4, dtype=np.uint8)[None], 32, 0)
    black_and_white = np.where(grey > 100, np.uint8(255), np.uint8(0))
    pixels = {".pbm": black_and_white, ".pgm": grey}.get(suffix, np.stack([grey] * 3, -1))
    stored = cv2.imencode(suffix, pixels)[1].tobytes()
    expected = pixels.astype(int).reshape(32, 32, -1)
    assert np.abs(decode(stored, 3) - expected).mean() < 20  # GIF has few colours


@pytest.mark.parametrize(
    "path",
    [
        ".ipynb_checkpoints/1-checkpoint.jpg",
        "__MACOSX/1.jpg",
        "@eaDir/1.jpg/SYNOPHOTO.jpg",
        ".git/1.png",
    ],
)
@pytest.mark.parametrize("place", ["", "a/", "a/deeper/"])
def test_copies_in_the_folders_of_tools_are_passed_over(tmp_path, place, path):
    folder = put(tmp_path, **{"a/deeper/1.jpg": JPEG, place + path: JPEG})
    assert found(folder) == ["a/deeper/1.jpg"]
    assert Folder(folder).class_names == ("a", "b")
    assert Folder(folder).note == f"1 entry passed over ({path.split('/')[0]}/ 1)"


def test_the_note_counts_all_that_was_passed_over(tmp_path):
    files = {
        f"a/{name}": b"" for name in (".DS_Store", "._1.jpg", "x.txt", "y.TXT", "Thumbs.db", "z")
    }
    folder = put(tmp_path, **{"a/1.jpg": JPEG, "README": b"", **files, "a/__MACOSX/1.jpg": JPEG})
    os.mkfifo(folder / "a/pipe.jpg")
    assert found(folder) == ["a/1.jpg"]
    assert Folder(folder).note == (
        "9 entries passed over (.txt 2, hidden 2, .db 1, .jpg that is no file 1, __MACOSX/ 1, outside of the"
        " class folders 1, and 1 more kinds)"
    )
    assert Folder(put(tmp_path / "clean", **{"a/1.jpg": JPEG})).note == ""


def test_links_are_followed_and_lead_round_in_no_circle(tmp_path):
    folder = put(tmp_path / "train", **{"a/1.jpg": JPEG})
    put(tmp_path / "other", **{"2.jpg": JPEG})
    (folder / "a/more").symlink_to(tmp_path / "other")
    (folder / "a/self").symlink_to("self")
    (folder / "a/here").symlink_to(".")
    (tmp_path / "other/back").symlink_to(folder)
    (folder / "c").symlink_to(folder / "b")
    (folder / "a/gone.jpg").symlink_to("nowhere")
    source = Folder(folder)
    assert found(folder) == ["a/1.jpg", "a/gone.jpg", "a/more/2.jpg", "a/more/b/1.jpg", "b/1.jpg"]
    assert source.class_names == ("a", "b", "c")
    assert "link that leads back 2" in source.note
    assert isinstance(source.read([1])[0], OSError)


def test_a_folder_deeper_down_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    folder = put(tmp_path, **{"a/1.jpg": JPEG, "a/locked/2.jpg": JPEG})
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match=r"^folder .*a/locked cannot be read: Permission denied"):
        Folder(folder)


NAMES = st.sampled_from(
    ["1.jpg", "2.PNG", "3.txt", ".4.jpg", "5", "é.jfif", *sorted(TOOL_FOLDERS)[:2]]
)
FOLDERS = st.sampled_from(["", "x", ".x", "x/y", "__MACOSX", "x/@eaDir", "é"])
FILES = st.lists(st.tuples(FOLDERS, NAMES, st.sampled_from([JPEG, PNG, b"text", b""])), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_the_walk_takes_and_counts_every_file_or_leaves_it_in_a_folder_of_tools(
    tmp_path_factory, files
):
    """Against the rule written with pathlib."""
    split = tmp_path_factory.mktemp("split")
    put(split, **{"a/0.jpg": JPEG})
    for folder, name, content in files:
        path = split / "a" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected, left_out, tools = set(), 0, set()
    for path in (split / "a").rglob("*"):
        inside = path.relative_to(split / "a").parts
        hidden = [part for part in inside[:-1] if part[0] == "." or part in TOOL_FOLDERS]
        if path.is_dir():
            own = inside[-1][0] == "." or inside[-1] in TOOL_FOLDERS
            tools |= {path} if own and not hidden else set()
        elif not hidden:
            called = path.suffix.lower() in SUFFIXES
            begins = path.read_bytes()[:3] in (JPEG[:3], PNG[:3])
            taken = path.name[0] != "." and (called or begins)
            expected |= {str(path.relative_to(split))} if taken else set()
            left_out += not taken
    assert set(found(split)) == expected
    note = Folder(split).note
    counted = int(note.split()[0]) if note else 0
    assert counted == left_out + len(tools)


def test_one_walk_lists_every_folder_once_and_opens_no_picture(tmp_path, monkeypatch):
    folder = put(tmp_path, **{f"a/{i}/{j}.jpg": JPEG for i in range(5) for j in range(4)})
    listed, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scan(path))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    monkeypatch.setattr(os, "stat", lambda *_, **__: pytest.fail("a file was asked for"))
    source = Folder(folder)
    assert len(source) == 21
    assert len(listed) == len(set(listed)) == 8


def test_the_head_of_a_run_says_what_was_passed_over(picture_folder, make_config):
    (picture_folder / "train/class0/notes.txt").write_text("")
    config = make_config("folder", 4, data_dir=str(picture_folder))
    config.steps, config.model.name, config.platform = 1, "resnet8", "cpu"
    experiment = Experiment.build(config)
    state = SimpleNamespace(params={})
    lines = head(experiment, state, 0, picture_folder, [])
    assert "train: 1 entry passed over (.txt 1)" in lines
    assert not any(line.startswith("test:") for line in lines)
