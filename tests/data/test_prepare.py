"""`python -m chanattn.data.prepare`: small archives in the official formats stand in for the downloads."""

import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from chanattn.data.prepare import prepare
from chanattn.data.prepare.__main__ import main
from chanattn.data.sources import open_source
from chanattn.errors import UsageError
from configs import base

CIFAR10_NAMES = [f"kind{i}" for i in range(10)]


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def cifar10_archive(path: Path, rng: np.random.Generator) -> dict[str, tuple]:
    """Writes a tiny archive in CIFAR-10's binary format; returns split -> (labels, images HWC)."""
    truth = {}
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "cifar-10-batches-bin/batches.meta.txt", "\n".join([*CIFAR10_NAMES, ""]).encode())
        for split, files in {
            "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
            "test": ["test_batch.bin"],
        }.items():
            labels = rng.integers(0, 10, (len(files), 4), np.uint8)
            images = rng.integers(0, 256, (len(files), 4, 3, 32, 32), np.uint8)
            for i, file in enumerate(files):
                rows = [bytes([labels[i, j]]) + images[i, j].tobytes() for j in range(4)]
                add(tar, f"cifar-10-batches-bin/{file}", b"".join(rows))
            truth[split] = labels.ravel(), images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return truth


def register(monkeypatch: pytest.MonkeyPatch, name: str, files: list[Path]) -> None:
    """Makes TFDS's record of the official downloads agree with these files."""
    cls = tfds.builder_cls(name)
    infos = dict(cls.url_infos)
    by_name = {path.name: path for path in files}
    for url, info in infos.items():
        path = by_name[info.filename]
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        infos[url] = type(info)(path.stat().st_size, checksum, info.filename)
    monkeypatch.setattr(cls, "url_infos", infos)


def dataset(name: str, data_dir: Path):
    d = base.get_config().dataset
    d.name, d.data_dir = name, str(data_dir)
    return d


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    truth = cifar10_archive(archive, np.random.default_rng(0))
    register(monkeypatch, "cifar10", [archive])
    return archive, truth


def everything(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_cifar10_archive_becomes_a_set_that_tfds_reads(cifar, tmp_path):
    archive, truth = cifar
    assert main(["cifar10", f"--data_dir={tmp_path / 'tfds'}", f"--archive={archive}"]) == 0
    for split, (labels, images) in truth.items():
        stored = tfds.data_source("cifar10", split=split, data_dir=tmp_path / "tfds")
        found = {e["id"].decode(): e for e in stored}
        assert len(found) == len(labels)
        for i in range(len(labels)):
            np.testing.assert_array_equal(found[f"{split}_{i:05d}"]["image"], images[i])
            assert found[f"{split}_{i:05d}"]["label"] == labels[i]
    source = open_source(dataset("cifar10", tmp_path / "tfds"), "train[:7]")
    assert len(source) == 7
    assert list(source.class_names) == CIFAR10_NAMES
    assert [p.name for p in (tmp_path / "tfds").iterdir()] == ["cifar10"]


def test_cifar100_keeps_both_labels(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    archive = tmp_path / "cifar-100-binary.tar.gz"
    rows = rng.integers(0, 256, (3, 2 + 3072), np.uint8)
    rows[:, 0], rows[:, 1] = [0, 19, 7], [99, 0, 42]
    with tarfile.open(archive, "w:gz") as tar:
        for kind, number in (("coarse", 20), ("fine", 100)):
            names = "\n".join(f"{kind}{i}" for i in range(number))
            add(tar, f"cifar-100-binary/{kind}_label_names.txt", names.encode())
        for split in ("train", "test"):
            add(tar, f"cifar-100-binary/{split}.bin", rows.tobytes())
    register(monkeypatch, "cifar100", [archive])
    assert main(["cifar100", f"--data_dir={tmp_path}", f"--archive={archive}"]) == 0
    stored = tfds.data_source("cifar100", split="test", data_dir=tmp_path)
    assert {(e["coarse_label"], e["label"]) for e in stored} == {(0, 99), (19, 0), (7, 42)}
    source = open_source(dataset("cifar100", tmp_path), "train")
    assert source.class_names[42] == "fine42"
    assert sorted(record.fields["label"] for record in source.read([0, 1, 2])) == [0, 42, 99]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_downloaded_and_become_grey_pictures(name, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    official = tmp_path / "official"
    official.mkdir()
    truth = {}
    for prefix, count in (("train", 6), ("t10k", 3)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count, np.uint8)
        header = np.array([2051, count, 28, 28], ">u4").tobytes()
        (official / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(header + images.tobytes())
        )
        header = np.array([2049, count], ">u4").tobytes()
        (official / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(header + labels.tobytes())
        )
        truth[prefix] = {
            image.tobytes(): label for image, label in zip(images, labels, strict=True)
        }
    register(monkeypatch, name, list(official.iterdir()))
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return (official / url.rsplit("/", 1)[1]).open("rb")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert main([name, f"--data_dir={tmp_path / 'tfds'}"]) == 0
    assert len(asked) == 4
    for split, prefix in (("train", "train"), ("test", "t10k")):
        stored = tfds.data_source(name, split=split, data_dir=tmp_path / "tfds")
        assert {e["image"].tobytes(): e["label"] for e in stored} == truth[prefix]
    # A second call finds the set and downloads nothing.
    assert main([name, f"--data_dir={tmp_path / 'tfds'}"]) == 0
    assert len(asked) == 4


def test_damaged_archive_is_refused_and_nothing_is_left(cifar, tmp_path, capsys):
    archive, _ = cifar
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    assert main(["cifar10", f"--data_dir={tmp_path / 'tfds'}", f"--archive={archive}"]) == 2
    error = capsys.readouterr().err.strip()
    assert "SHA-256" in error
    assert "\n" not in error
    assert everything(tmp_path / "tfds") == []


def test_archive_without_a_member_is_refused_by_name(tmp_path, monkeypatch, capsys):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, "cifar-10-batches-bin/batches.meta.txt", b"a\nb\n")
    register(monkeypatch, "cifar10", [archive])
    assert main(["cifar10", f"--data_dir={tmp_path / 'tfds'}", f"--archive={archive}"]) == 2
    assert "lacks cifar-10-batches-bin/data_batch_1.bin" in capsys.readouterr().err
    assert everything(tmp_path / "tfds") == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("no space left")])
def test_failure_while_writing_leaves_nothing(failure, cifar, tmp_path, monkeypatch, capsys):
    from chanattn.data.prepare import without_tensorflow

    archive, _ = cifar
    written = 0

    def failing(pixels):
        nonlocal written
        written += 1
        if written > 5:
            raise failure
        return original(pixels)

    original = without_tensorflow._png
    monkeypatch.setattr(without_tensorflow, "_png", failing)
    arguments = ["cifar10", f"--data_dir={tmp_path / 'tfds'}", f"--archive={archive}"]
    if failure is KeyboardInterrupt:
        assert main(arguments) == 130
    else:
        with pytest.raises(OSError, match="no space left"):
            main(arguments)
    assert everything(tmp_path / "tfds") == []


def test_sigterm_leaves_nothing(cifar, tmp_path):
    archive, _ = cifar
    script = f"""
import os, signal, sys
from chanattn.data.prepare import __main__, without_tensorflow
without_tensorflow.check = lambda path, sha256: None
without_tensorflow._png = lambda pixels: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(__main__.main(["cifar10", "--data_dir={tmp_path / "tfds"}", "--archive={archive}"]))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr.decode()
    assert everything(tmp_path / "tfds") == []


def test_failed_download_names_the_address_and_the_way_out(tmp_path, monkeypatch, capsys):
    def unreachable(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    assert main(["cifar10", f"--data_dir={tmp_path / 'tfds'}"]) == 2
    error = capsys.readouterr().err
    assert "cifar-10-binary.tar.gz" in error
    assert "--archive=PATH" in error
    assert everything(tmp_path / "tfds") == []


def test_other_sets_name_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["svhn_cropped", f"--data_dir={tmp_path}"]) == 2
    assert "pip install -e '.[prepare]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_sets_downloaded_by_hand_say_where_to_put_the_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert main(["imagenet2012", f"--data_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "downloads" / "manual") in error
    assert "ILSVRC2012_img_train.tar" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar1O"], "Did you mean 'cifar10'?"),
        (["digits"], "needs no preparation"),
        (["cifar10", "--archive=/nowhere/x.tar.gz"], "no file or folder"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, tmp_path, capsys):
    assert main([*arguments, f"--data_dir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion_mnits"])
def test_a_name_that_tfds_does_not_know_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match="Did you mean 'fashion_mnist'"):
        prepare(name)
