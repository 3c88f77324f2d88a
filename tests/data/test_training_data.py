"""Training batches: complete epochs, a pure function of seed and step, the same for any start."""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import data
from chanattn.data import loaders
from chanattn.data.sources import open_source
from chanattn.errors import UsageError

LOADERS = ("device", "stream")


def take(config, mesh, start: int, count: int):
    """The images and labels of some steps, without normalisation."""
    config.dataset.mean, config.dataset.std = (0.0,) * 3, (1.0,) * 3
    with data.training(config, mesh) as train:
        prepare = jax.jit(train.prepare)
        key = jax.random.key(7)
        return [
            jax.tree.map(np.asarray, prepare(feed, jnp.int32(step), jax.random.fold_in(key, step)))
            for step, feed in zip(
                range(start, start + count), islice(train.feeds(start), count), strict=True
            )
        ]


@pytest.mark.parametrize("loader", LOADERS)
def test_every_epoch_is_another_permutation_of_the_set(loader, mesh, make_config, picture_folder):
    config = make_config("folder", 4, loader=loader, data_dir=str(picture_folder))
    batches = take(config, mesh, 0, 10)
    orders = []
    for epoch in (batches[:5], batches[5:]):
        # Brightness 5 i + 3 is picture i, of class i mod 3.
        brightness = np.rint(255 * np.concatenate([b["image"][:, 0, 0, 0] for b in epoch]))
        pictures = ((brightness - 3) / 5).astype(int)
        assert len(set(pictures)) == 20  # 5 batches of 4, of 23 pictures
        np.testing.assert_array_equal(np.concatenate([b["label"] for b in epoch]), pictures % 3)
        orders.append(pictures.tolist())
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])
    assert all((b["mask"] == 1).all() for b in batches)


@pytest.mark.parametrize("loader", LOADERS)
def test_starting_in_the_middle_continues_exactly(loader, mesh, make_config):
    fields = {"loader": loader, "synthetic_examples": 70, "image_size": 8}
    config = make_config("synthetic", 16, **fields)
    config.dataset.augment.update(pad_crop=1, flip=True, mixup=0.2, cutmix=1.0, color_jitter=0.2)
    straight = take(config, mesh, 0, 9)
    resumed = take(config, mesh, 6, 3)
    jax.tree.map(np.testing.assert_array_equal, straight[6:], resumed)
    assert {"mix_label", "mix_weight"} <= set(resumed[0])
    np.testing.assert_array_equal(resumed[0]["mix_label"], resumed[0]["label"][::-1])


@pytest.mark.parametrize("loader", LOADERS)
def test_seed_decides_the_order(loader, mesh, make_config):
    first, again, other = (
        take(make_config("digits", 32, seed, loader=loader), mesh, 0, 1)[0]["label"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("loader", LOADERS)
def test_another_seed_on_the_way_gives_the_feeds_of_a_set_begun_with_it(loader, mesh, make_config):
    config = make_config("synthetic", 16, loader=loader, synthetic_examples=70, image_size=8)

    def labels(train):
        feeds = islice(train.feeds(2), 3)
        return [
            train.prepare(feed, jnp.int32(step), jax.random.key(0))["label"].tolist()
            for step, feed in enumerate(feeds, start=2)
        ]

    with data.training(config, mesh) as train:
        first = labels(train)
        train.reseed(5)
        second = labels(train)
    config.seed = 5
    with data.training(config, mesh) as train:
        assert labels(train) == second != first


def test_pixels_are_normalised_and_grey_becomes_three_channels(mesh, make_config):
    config = make_config("digits", 8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    with data.training(config, mesh) as train:
        batch = train.prepare(next(iter(train.feeds(0))), jnp.int32(0), jax.random.key(0))
        assert train.image_shape == (8, 8, 3)
    image = np.asarray(batch["image"])
    assert image.shape == (8, 8, 8, 3)
    assert image.dtype == np.float32
    pixels = image * np.array([0.5, 0.6, 0.7]) + np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(pixels[..., 0], pixels[..., 2], atol=1e-6)
    levels = pixels[..., 0] * 16
    np.testing.assert_allclose(levels, np.rint(levels), atol=0.04)  # 16 levels, in steps of 1/255


def test_properties_describe_the_set(mesh, make_config):
    with data.training(make_config("digits", 100), mesh) as train:
        assert train.num_examples == 1442
        assert train.steps_per_epoch == 14
        assert train.num_classes == 10
        assert train.class_names == tuple("0123456789")


def test_auto_streams_what_does_not_fit(mesh, make_config, monkeypatch):
    config = make_config("digits")
    assert "order" in next(iter(data.training(config, mesh).feeds(0)))
    monkeypatch.setattr(loaders, "DEVICE_BYTES", 1442 * (64 + 4 + 4) - 1)
    with data.training(config, mesh) as train:
        assert set(next(train.feeds(0))) == {"image", "label", "index"}


def test_image_size_resizes_whole_pictures_for_both_loaders(mesh, make_config):
    shapes, pixels = set(), []
    for loader in LOADERS:
        config = make_config("digits", 16, loader=loader, image_size=12)
        shapes.add(take(config, mesh, 0, 1)[0]["image"].shape)
        source = open_source(config.dataset, "train")
        fit = loaders._fit(config.dataset, source, random=False)
        pixels.append(fit(source.read([3])[0].image)[0])
    assert shapes == {(16, 12, 12, 3)}
    np.testing.assert_array_equal(*pixels)


def test_random_resized_crop_streams_and_differs_by_epoch(mesh, make_config):
    config = make_config("synthetic", 8, synthetic_examples=8, image_size=16, synthetic_classes=8)
    config.dataset.augment.random_resized_crop = True
    first, second = take(config, mesh, 0, 2)
    a, b = first["image"][np.argsort(first["label"])], second["image"][np.argsort(second["label"])]
    assert not (a == b).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 2000}, "config.batch_size=2000 is larger than the 1442 examples"),
        ({"classes": 11}, "config.model.num_classes is 11, but data set 'digits' has 10 classes"),
        ({"loader": "device", "crop": True}, "config.dataset.loader=stream"),
    ],
)
def test_contradictions_are_named(fields, message, mesh, make_config):
    config = make_config(
        "digits", fields.get("batch_size", 16), loader=fields.get("loader", "auto")
    )
    config.model.num_classes = fields.get("classes", 0)
    config.dataset.augment.random_resized_crop = fields.get("crop", False)
    with pytest.raises(UsageError, match=message):
        data.training(config, mesh)


@pytest.mark.parametrize("loader", LOADERS)
def test_pictures_of_different_size_need_an_image_size(loader, mesh, make_config, picture_folder):
    import cv2

    odd = picture_folder / "train/class0/000.png"
    odd.unlink()
    cv2.imwrite(str(odd.with_name("zzz.png")), np.zeros((9, 9, 3), np.uint8))
    config = make_config("folder", 8, loader=loader, data_dir=str(picture_folder))
    with pytest.raises(
        UsageError, match=r"zzz\.png is 9x9, not 20x24: set config.dataset.image_size"
    ):
        take(config, mesh, 0, 6)
    config.dataset.image_size = 10
    assert take(config, mesh, 0, 1)[0]["image"].shape == (8, 10, 10, 3)
