"""Real sets: CIFAR-10, streamed from TFDS and from a folder written from it, and the boxes of two others."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import data
from chanattn.data.fields import Whereabouts
from chanattn.data.sources import open_source

COUNT = 300


def one_epoch(config, mesh):
    """Label and bytes of all pictures of an epoch and of an evaluation pass, sorted."""
    config.dataset.mean, config.dataset.std = (0.0,) * 3, (1.0,) * 3
    found = []
    with data.training(config, mesh) as train:
        prepare = jax.jit(train.prepare)
        for step, feed in zip(range(train.steps_per_epoch), train.feeds(0), strict=False):
            found += examples(prepare(feed, jnp.int32(step), jax.random.key(0)))
    with contextlib.closing(data.evaluation(config, mesh, batch_size=64)) as evaluation:
        passed = [e for feed in evaluation.feeds() for e in examples(evaluation.prepare(feed))]
    return sorted(found), sorted(passed)


def examples(batch):
    images = np.rint(np.asarray(batch["image"]) * 255).astype(np.uint8)
    real = np.asarray(batch["mask"]) == 1
    labels = np.asarray(batch["label"])
    return [
        (int(label), image.tobytes())
        for label, image in zip(labels[real], images[real], strict=True)
    ]


@pytest.fixture
def cifar10(tfds_dir, make_config):
    split = f"train[:{COUNT}]"
    return make_config("cifar10", 50, data_dir=str(tfds_dir), split=split, eval_split=split)


@pytest.fixture
def reference(tfds_dir):
    import tensorflow_datasets as tfds

    stored = tfds.data_source("cifar10", split=f"train[:{COUNT}]", data_dir=tfds_dir)
    return sorted((int(e["label"]), e["image"].tobytes()) for e in stored)


@pytest.mark.parametrize(("loader", "workers"), [("device", 0), ("stream", 0), ("stream", 2)])
def test_cifar10_from_tfds_is_complete_and_exact(loader, workers, mesh, cifar10, reference):
    cifar10.dataset.loader, cifar10.dataset.workers = loader, workers
    trained, evaluated = one_epoch(cifar10, mesh)
    assert trained == reference
    assert evaluated == reference


def test_image_folder_written_from_cifar10_is_the_same_set(
    mesh, cifar10, reference, make_config, tmp_path
):
    source = open_source(cifar10.dataset, cifar10.dataset.split)
    for i, record in enumerate(source.read(range(COUNT))):
        label = record.fields["label"]  # the number keeps the order of the classes
        directory = tmp_path / "all" / f"{label} {source.class_names[label]}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{i}.jpg").write_bytes(record.image)
    config = make_config(
        "folder", 50, loader="stream", data_dir=str(tmp_path), split="all", eval_split="all"
    )
    trained, evaluated = one_epoch(config, mesh)
    assert trained == reference
    assert evaluated == reference


@pytest.mark.parametrize(
    ("name", "split", "objects", "most", "note"),
    [
        ("bccd", "train", 2804, 30, "boxes left out: 1 without area (the first in bccd/train["),
        ("bccd", "test", 945, 30, ""),
        ("coco_mini", "train", 1339, 42, ""),
    ],
)
def test_boxes_of_real_sets_come_whole_and_go_back(
    name, split, objects, most, note, mesh, make_config, tfds_dir
):
    if not (tfds_dir / name).is_dir():
        pytest.skip(f"no real data sets in {tfds_dir / name}")
    config = make_config(name, 64, data_dir=str(tfds_dir), image_size=(96, 128))
    config.dataset.most_boxes = most
    evaluation = data.evaluation(config, mesh, split, None, ["boxes"], whereabouts=True)
    source = evaluation.source
    assert source.objects == objects
    assert source.note.startswith(note)
    assert bool(source.note) == bool(note)
    found = 0
    for feed in evaluation.feeds():
        batch = jax.device_get(evaluation.prepare(feed))
        real = batch["boxes_label"] >= 0
        found += real.sum()
        for row in np.flatnonzero(batch["mask"]):
            to = Whereabouts.placement(batch["whereabouts"][row], (96, 128))
            (record,) = source.read([batch["index"][row]])
            corners = np.asarray(record.fields["boxes"].corners)
            corners = corners[(corners[:, 2:] > corners[:, :2]).all(axis=1)]
            height, width = to.stored
            expected = np.clip(corners, 0, 1) * [width, height, width, height]
            back = to.corners_back(batch["boxes"][row][real[row]])
            np.testing.assert_allclose(back, expected, atol=1e-2)
    assert found == objects
