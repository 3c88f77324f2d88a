"""Batches after any augmentation: pixels that a picture can have, labels and weights that belong to them."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanattn.data.fields import Label
from chanattn.data.pipeline import evaluation_batch, training_batch
from configs import base

SHAPE = (6, 9, 7)
SETTINGS = {
    "geometry": {"pad_crop": 3, "flip": True, "cutout": 5},
    "colour": {"color_jitter": 1.0, "rand_augment_ops": 2, "rand_augment_magnitude": 10.0},
    "mixing": {"mixup": 0.2, "cutmix": 1.0},
}


def dataset(name):
    """The data part of a config that leaves the pixels in [0, 1]."""
    d = base.get_config().dataset
    d.mean, d.std = (0.0,) * 3, (1.0,) * 3
    d.augment.update(SETTINGS[name])
    return d


@functools.cache
def program(name):
    kinds = {"label": Label(5)}
    return jax.jit(
        lambda key, x, y: training_batch(key, {"image": x, "label": y}, kinds, dataset(name))
    )


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["random", "black", "white", "extremes"]),
)
def test_pixels_stay_in_range_and_labels_with_their_pictures(name, seed, kind):
    rng = np.random.default_rng(seed)
    shape = (*SHAPE, 1 if name == "geometry" else 3)
    images = {
        "random": rng.integers(0, 256, shape),
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "extremes": rng.integers(0, 2, shape) * 255,
    }[kind].astype(np.uint8)
    labels = rng.integers(0, 5, len(images)).astype(np.int32)
    batch = jax.device_get(program(name)(jax.random.key(np.uint32(seed)), images, labels))
    assert batch["image"].shape == (*SHAPE, 3)
    assert np.isfinite(batch["image"]).all()
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1 + 1e-6
    np.testing.assert_array_equal(batch["label"], labels)
    np.testing.assert_array_equal(batch["mask"], 1)
    assert ("mix_weight" in batch) == (name == "mixing")
    if name == "mixing":
        np.testing.assert_array_equal(batch["mix_label"], labels[::-1])
        assert (batch["mix_weight"] >= 0).all()
        assert (batch["mix_weight"] <= 1).all()
    if (
        name == "geometry"
    ):  # moved and erased pixels are pixels of the picture, of the padding or the mean
        levels = np.rint(batch["image"] * 255)
        np.testing.assert_allclose(batch["image"] * 255, levels, atol=1e-3)
        assert set(np.unique(levels).tolist()) <= {0, *np.unique(images).tolist()}


@settings(max_examples=25)
@given(mean=st.floats(0, 1), std=st.floats(0.05, 2), seed=st.integers(0, 1000))
def test_normalised_pixels_of_an_evaluation_are_those_of_numpy(mean, std, seed):
    d = base.get_config().dataset
    d.mean, d.std = (mean,) * 3, (std,) * 3
    images = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
    with jax.disable_jit():
        found = np.asarray(evaluation_batch({"image": images}, d)["image"])
    np.testing.assert_allclose(found, (images / 255 - mean) / std, rtol=1e-4, atol=1e-5 / std)
