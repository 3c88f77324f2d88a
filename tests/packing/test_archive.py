"""Packs hold what a run holds, and what is no sound pack leaves nothing behind."""

import io
import json
import os
import shutil
import tarfile
import zlib
from pathlib import Path

import pytest

from chanattn.config import get_config
from chanattn.errors import UsageError
from chanattn.packing import archive
from chanattn.packing.__main__ import main
from chanattn.packing.archive import FILES, MANIFEST, pack, unpack
from chanattn.training import lock
from chanattn.training.config import to_json
from tests.support.fake_sweep import write_sweep


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    for name, content in {
        "config.json": to_json(get_config()).encode(),
        "checkpoints/7/weights/d/8f3a": os.urandom(3000),
        "checkpoints/7/files.json": b"{}",
        "checkpoints/7/a name\nof two lines \xff.json".encode("latin-1").decode("latin-1"): b"x",
        "metrics.jsonl": b"",
        ".lock": b"",
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> Path:
    pack(run, tmp_path / "run.tar")
    return tmp_path / "run.tar"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_unpacked_is_what_was_packed_but_the_lock(
    run: Path, tmp_path: Path, capsys
) -> None:
    main(["pack", str(run), str(tmp_path / "run.tar")])
    main(["unpack", str(tmp_path / "run.tar"), str(tmp_path / "elsewhere")])
    expected = contents(run)
    del expected[".lock"]
    assert contents(tmp_path / "elsewhere") == expected
    assert left(tmp_path) == {"run", "run.tar", "elsewhere"}
    assert "packed 5 files" in capsys.readouterr().out


def test_a_sweep_is_packed_with_its_runs_and_without_compiled_programs(
    run: Path, tmp_path: Path
) -> None:
    sweep = write_sweep(tmp_path / "sweep", {"se": [None]})
    shutil.rmtree(sweep / "runs")
    shutil.copytree(run, sweep / "runs" / "se" / "seed0")
    (sweep / "cache").mkdir()
    (sweep / "cache" / "program").write_text("{}")
    pack(sweep, tmp_path / "sweep.tar")
    unpack(tmp_path / "sweep.tar", tmp_path / "elsewhere")
    assert left(tmp_path / "elsewhere") == {"sweep.json", "runs"}
    assert (tmp_path / "elsewhere/runs/se/seed0/config.json").is_file()
    with (
        lock.hold(sweep / "runs/se/seed0", "taken"),
        pytest.raises(UsageError, match="is training in .*seed0; wait"),
    ):
        pack(sweep, tmp_path / "again.tar")


def test_a_run_that_is_being_trained_is_refused(run: Path, tmp_path: Path) -> None:
    with lock.hold(run, "taken"), pytest.raises(UsageError, match="is training in .*run; wait"):
        pack(run, tmp_path / "run.tar")
    assert left(tmp_path) == {"run"}


def test_nothing_is_overwritten(run: Path, packed: Path, tmp_path: Path) -> None:
    before = packed.read_bytes()
    with pytest.raises(UsageError, match="run.tar is there already"):
        pack(run, packed)
    with pytest.raises(UsageError, match="run is there already"):
        unpack(packed, run)
    assert packed.read_bytes() == before


def test_what_cannot_be_packed_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run and no sweep"):
        pack(tmp_path, tmp_path / "x.tar")
    with pytest.raises(UsageError, match="cannot pack .*No such file"):
        pack(run, tmp_path / "absent" / "x.tar")
    (run / "linked").symlink_to("/etc")
    with pytest.raises(UsageError, match="linked is a link or no plain file"):
        pack(run, tmp_path / "x.tar")
    assert left(tmp_path) == {"run"}


def test_a_run_without_all_of_its_config_is_refused(run: Path, tmp_path: Path) -> None:
    path = run / "config.json"
    whole = json.loads(path.read_text())
    path.write_text("{}")
    with pytest.raises(
        UsageError, match=r"config\.json is no config of a run, it lacks seed, .* more; re"
    ):
        pack(run, tmp_path / "x.tar")
    del whole["batch_size"]
    path.write_text(json.dumps(whole))
    with pytest.raises(UsageError, match="it lacks batch_size; restore it"):
        pack(run, tmp_path / "x.tar")
    path.write_text('{"seed"')
    with pytest.raises(UsageError, match=r"config\.json is damaged"):
        pack(run, tmp_path / "x.tar")
    assert left(tmp_path) == {"run"}


def test_a_file_that_changes_meanwhile_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_too(*arguments: object) -> None:
        (run / "config.json").write_text('{"another": 1}')

    monkeypatch.setattr(archive, "_add_manifest", write_too)
    with pytest.raises(UsageError, match="config.json was changed while it was packed"):
        pack(run, tmp_path / "run.tar")
    assert not list(tmp_path.glob("*run.tar*"))


def test_without_room_nothing_is_written(
    run: Path, packed: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("chanattn.packing.archive.shortage", lambda *_: "it needs 9 MiB")
    with pytest.raises(UsageError, match="no room for .*x.tar: it needs 9 MiB"):
        pack(run, tmp_path / "x.tar")
    with pytest.raises(UsageError, match="no room for .*elsewhere: it needs 9 MiB"):
        unpack(packed, tmp_path / "elsewhere")
    assert left(tmp_path) == {"run", "run.tar"}


def made(path: Path, files: dict[str, bytes], manifest: object = None) -> None:
    """A tar file with a manifest of these files, or another one."""
    entries = {name: {"size": len(c), "crc32": zlib.crc32(c)} for name, c in files.items()}
    text = json.dumps(manifest or {"pack": 1, "files": entries}).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in {MANIFEST: text, **{FILES + n: c for n, c in files.items()}}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def damaged(path: Path) -> None:
    content = path.read_bytes()
    position = content.index(b"8f3a", 1500) + 600  # within the array
    path.write_bytes(content[:position] + b"?" + content[position + 1 :])


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def without_files(path: Path) -> None:
    made(path, {}, {"pack": 1, "files": {"a": {"size": 1, "crc32": 1}}})


def with_a_link(path: Path) -> None:
    made(path, {})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(FILES + "a")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, "is damaged: .*8f3a differs"),
        (cut_off, "no pack of chanattn, or damaged"),
        (without_files, "is cut off: 1 of its files are missing"),
        (with_a_link, "no pack of chanattn: it holds 'files/a'"),
        (lambda path: path.write_bytes(b"no tar"), "no pack of chanattn, or damaged"),
        (lambda path: path.write_bytes(b""), "no pack of chanattn, or damaged"),
        (lambda path: path.unlink(), "cannot unpack .*No such file"),
        (lambda path: made(path, {"../outside": b"x"}), "no pack of chanattn, or damaged.*outside"),
        (
            lambda path: made(path, {"/tmp/../x/outside": b"x"}),
            "no pack of chanattn: it holds 'files//tmp",
        ),
        (lambda path: made(path, {}, {"pack": 1, "files": []}), "no pack of chanattn"),
        (lambda path: made(path, {}, {"pack": True, "files": {}}), "format True"),
        (
            lambda path: made(path, {}, {"pack": 1, "files": {"a": {"size": 1e400, "crc32": 1}}}),
            "no pack of chanattn, or damaged",
        ),
        (
            lambda path: made(
                path, {"a": b"xyz"}, {"pack": 1, "files": {"a": {"size": 1, "crc32": 0}}}
            ),
            "is damaged: a differs",
        ),
        (lambda path: made(path, {}, {"pack": 2}), "format 2, made by another version"),
        (lambda path: made(path, {}, ["pack"]), "no pack of chanattn, or damaged"),
        (lambda path: made(path, {}, {"pack": 1, "files": {"a": 3}}), "no pack of chanattn"),
    ],
)
def test_what_is_no_sound_pack_is_refused_in_a_line_and_leaves_nothing(
    packed: Path, tmp_path: Path, change, message: str
) -> None:
    change(packed)
    before = left(tmp_path)
    with pytest.raises(UsageError, match=message) as refusal:
        unpack(packed, tmp_path / "elsewhere")
    assert "\n" not in str(refusal.value)
    assert left(tmp_path) == before


def test_the_command_says_how_it_is_used() -> None:
    for arguments in ([], ["pack"], ["pakc", "a", "b"], ["pack", "a", "b", "c"]):
        with pytest.raises(UsageError, match="say what to do: python -m chanattn.packing pack RUN"):
            main(arguments)
