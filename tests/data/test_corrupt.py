"""Unreadable pictures: named, counted, replaced or masked, and too many of them stop the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import data
from chanattn.data.sources.folder import Folder
from chanattn.errors import UsageError

LOADERS = ("device", "stream")


@pytest.fixture
def damaged(picture_folder):
    """Pictures 0 and 1 of train and 4 of test cut short, missing their end, or replaced by text."""
    path = picture_folder / "train/class0/000.png"
    path.write_bytes(path.read_bytes()[:-20])
    (picture_folder / "train/class1/001.png").write_bytes(b"")
    (picture_folder / "test/class1/004.png").write_text("<html>")
    return picture_folder


def make(make_config, folder, loader, limit, workers=0):
    return make_config(
        "folder",
        4,
        loader=loader,
        data_dir=str(folder),
        max_corrupt=limit,
        workers=workers,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


@pytest.mark.parametrize(("loader", "workers"), [("device", 0), ("stream", 0), ("stream", 1)])
def test_training_goes_on_up_to_the_limit(loader, workers, mesh, make_config, damaged, capsys):
    config = make(make_config, damaged, loader, 2, workers)
    pictures, labels = set(), []
    with data.training(config, mesh) as train:
        prepare = jax.jit(train.prepare)
        for step, feed in zip(range(5), train.feeds(0), strict=False):
            batch = prepare(feed, jnp.int32(step), jax.random.key(0))
            found = np.rint((np.asarray(batch["image"])[:, 0, 0, 0] * 255 - 3) / 5).astype(int)
            np.testing.assert_array_equal(batch["label"], found % 3)
            pictures |= set(found.tolist())
            labels += found.tolist()
    assert len(labels) == 20
    assert not pictures & {0, 1}
    messages = [line for line in capsys.readouterr().err.splitlines() if "corrupt" in line]
    assert len(messages) == len(set(messages)) == 2
    assert any("class0/000.png (the file ends too early)" in message for message in messages)
    assert any("class1/001.png (the file is empty)" in message for message in messages)


@pytest.mark.parametrize("loader", LOADERS)
def test_one_too_many_stops_with_its_name(loader, mesh, make_config, damaged):
    config = make(make_config, damaged, loader, 1)
    with pytest.raises(UsageError) as error, data.training(config, mesh) as train:
        for _ in zip(range(10), train.feeds(0), strict=False):
            pass
    message = str(error.value)
    assert "config.dataset.max_corrupt=1" in message
    assert "00" in message
    assert ".png" in message
    assert "\n" not in message


@pytest.mark.parametrize("loader", LOADERS)
def test_the_reason_is_kept(loader, mesh, make_config, picture_folder, monkeypatch):
    def refuse(self, index):
        if self.names[index] == "class0/000.png":
            return PermissionError(13, "Permission denied")
        return read(self, index)

    read = Folder._record
    monkeypatch.setattr(Folder, "_record", refuse)
    config = make(make_config, picture_folder, loader, 0)
    expected = r"000\.png \(Permission denied\), number 1"
    with pytest.raises(UsageError, match=expected), data.training(config, mesh) as train:
        for _ in zip(range(10), train.feeds(0), strict=False):
            pass


@pytest.mark.parametrize("loader", LOADERS)
def test_evaluation_masks_and_counts_them(loader, mesh, make_config, damaged):
    config = make(make_config, damaged, loader, 1)
    evaluation = data.evaluation(config, mesh, batch_size=6)
    mask = np.concatenate([np.asarray(evaluation.prepare(f)["mask"]) for f in evaluation.feeds()])
    assert mask.sum() == 12 == evaluation.num_examples - evaluation.num_corrupt
    strict = data.evaluation(make(make_config, damaged, loader, 0), mesh, batch_size=6)
    with pytest.raises(UsageError, match=r"test/class1/004\.png"):
        list(strict.feeds())


def test_a_set_without_a_readable_picture_is_refused(mesh, make_config, picture_folder):
    for path in picture_folder.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="none of the 23 pictures can be read"):
        data.training(make(make_config, picture_folder, "stream", 100), mesh)


def test_nearly_everything_corrupt_ends_the_search(mesh, make_config, picture_folder):
    for path in sorted(picture_folder.rglob("*.png"))[:-1]:
        path.write_bytes(b"nothing")
    config = make(make_config, picture_folder, "stream", 3)
    config.dataset.image_size = 8
    with pytest.raises(UsageError, match="max_corrupt=3"), data.training(config, mesh) as train:
        next(iter(train.feeds(0)))
