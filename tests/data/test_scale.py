"""Random scales and parts: pictures and label maps move together, and no label is made."""

import jax
import numpy as np
import pytest

from chanattn.data.augment.scale import draw, largest_share, place
from chanattn.data.fields import Boxes, Mask
from chanattn.data.pipeline import training_batch
from chanattn.errors import UsageError
from chanattn.training.validate import validate
from configs import base

CLASSES, BLOCK, NUMBER = 5, 6, 24


def config_of(**augment):
    dataset = base.get_config().dataset
    dataset.mean, dataset.std = (0.9,) * 3, (1.0,) * 3
    dataset.augment.update(**augment)
    return dataset


@pytest.fixture(scope="module")
def stored():
    """Blocks of one colour and class each, and a box around the first of them."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, CLASSES, (NUMBER, 8, 6))
    labels = coarse.repeat(BLOCK, 1).repeat(BLOCK, 2).astype(np.int8)
    return {
        "image": (40 * labels[..., None] + 20).astype(np.uint8),
        "index": np.arange(NUMBER, dtype=np.int32),
        "label_map": labels,
        "boxes": np.tile(np.float32([[[12, 18, 30, 36]]]), (NUMBER, 1, 1)),
        "boxes_label": np.zeros((NUMBER, 1), np.int32),
        "boxes_crowd": np.zeros((NUMBER, 1), bool),
        "boxes_area": np.full((NUMBER, 1), 9, np.float32),
    }


def moved(stored, **augment):
    kinds = {"label_map": Mask(CLASSES, 255), "boxes": Boxes(3, 1)}
    step = jax.jit(lambda key: training_batch(key, stored, kinds, config_of(**augment)))
    return jax.device_get(step(jax.random.key(3)))


@pytest.mark.parametrize("crop", [0, (30, 41)])
def test_picture_labels_and_boxes_stay_together(stored, crop):
    batch = moved(stored, random_scale=(0.5, 2.0), crop=crop, flip=True)
    size = crop or stored["image"].shape[1:3]
    assert batch["image"].shape == (NUMBER, *size, 3)
    labels, pixels = batch["label_map"], (batch["image"][..., 0] + 0.9) * 255
    assert set(np.unique(labels)) == {-1, *range(CLASSES)}
    # A pixel whose neighbours are of its class has the colour of that class; outside there is the mean.
    around = np.stack([np.roll(labels, (i, j), (1, 2)) for i in (-2, 0, 2) for j in (-2, 0, 2)])
    clear = (around == labels).all(axis=0) & (labels >= 0)
    clear[:, [0, 1, -2, -1]] = clear[:, :, [0, 1, -2, -1]] = False
    assert clear.mean() > 0.1
    np.testing.assert_allclose(((pixels - 20) / 40)[clear], labels[clear], atol=0.05)
    outside = np.abs(pixels - 0.9 * 255) < 1e-2
    assert outside.mean() > 0.05
    assert (labels[outside] == -1).all()
    # A box cuts whole blocks out, and they are inside of it still.
    for i, (x0, y0, x1, y1) in enumerate(batch["boxes"][:, 0]):
        if batch["boxes_label"][i, 0] < 0:
            continue
        area = np.sum(labels[i, round(y0) : round(y1), round(x0) : round(x1)] >= 0)
        assert area >= 0.9 * (round(y1) - round(y0)) * (round(x1) - round(x0))


def test_a_box_that_is_drawn_stays_on_its_pixels():
    rng = np.random.default_rng(1)
    number, (height, width) = 64, (48, 40)
    low = rng.integers(0, [width - 12, height - 12], (number, 2))
    corners = np.concatenate([low, low + rng.integers(6, 13, (number, 2))], axis=1)
    pictures = np.zeros((number, height, width, 1), np.uint8)
    for picture, (x0, y0, x1, y1) in zip(pictures, corners, strict=True):
        picture[y0:y1, x0:x1] = 255
    stored = {
        "image": pictures,
        "index": np.arange(number, dtype=np.int32),
        "boxes": np.stack([corners, np.full_like(corners, np.nan, float)], 1).astype(np.float32),
        "boxes_label": np.tile(np.int32([0, -1]), (number, 1)),
        "boxes_crowd": np.tile([False, True], (number, 1)),
        "boxes_area": np.tile(np.float32([50, np.inf]), (number, 1)),
    }
    dataset = config_of(random_scale=(0.75, 2.0), crop=(40, 44), flip=True)
    dataset.mean = (0.0,) * 3
    step = jax.jit(lambda key: training_batch(key, stored, {"boxes": Boxes(1, 2)}, dataset))
    batch = jax.device_get(step(jax.random.key(0)))
    assert (batch["boxes_label"][:, 1] == -1).all()
    assert np.isfinite(batch["boxes"]).all()
    kept = batch["boxes_label"][:, 0] == 0
    assert 0.5 < kept.mean() < 1
    np.testing.assert_array_equal(batch["boxes_area"][:, 0], np.where(kept, 50, 0))
    for picture, box, known in zip(batch["image"][..., 0], batch["boxes"][:, 0], kept, strict=True):
        rows, columns = (np.flatnonzero((picture > 0.5).any(axis)) for axis in (1, 0))
        if known:
            seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose(box, seen, atol=1.01)
        else:  # the least that is stored covers 36 pixels, or 20 when it is made smaller
            assert (picture > 0.5).sum() < 0.45 * 12 * 12 * 4


def test_a_factor_of_one_without_a_crop_changes_nothing(stored):
    batch = moved(stored, random_scale=(1.0, 1.0))
    np.testing.assert_array_equal(batch["label_map"], stored["label_map"])
    expected = stored["image"].repeat(3, 3) / 255 - 0.9
    np.testing.assert_allclose(batch["image"], expected, atol=1e-5)


def test_placements_fill_the_range_of_scales_and_places():
    keys = jax.random.split(jax.random.key(0), 2000)
    top, left, scale = jax.vmap(lambda key: draw(key, (40, 60), (20, 30), (0.25, 2.0)))(keys)
    assert 0.25 <= scale.min() < 0.27
    assert 1.98 < scale.max() <= 2.0
    for start, full, part in ((top, 40, 20), (left, 60, 30)):
        free = full - part / scale
        share = np.asarray(start / free)
        assert share.min() >= 0
        assert share.max() <= 1 + 1e-5
        np.testing.assert_allclose(np.histogram(share, 4, (0, 1))[0], 500, atol=90)


def test_parts_of_one_class_are_drawn_again(stored):
    one_colour = stored | {"label_map": np.zeros_like(stored["label_map"])}
    one_colour["label_map"][:, 24:] = 1
    shares = {}
    for limit in (1.0, 0.7):
        batch = moved(one_colour, crop=(16, 16), max_class_share=limit)
        shares[limit] = [float(largest_share(labels, CLASSES)) for labels in batch["label_map"]]
    assert np.mean(np.array(shares[1.0]) > 0.8) > 0.4
    assert np.mean(np.array(shares[0.7]) > 0.8) < 0.2


def test_shrinking_takes_all_pixels_into_account():
    image = np.zeros((32, 32, 1), np.float32)
    image[::2] = 1  # rows that a sample of single pixels would take, or miss, altogether
    small = place(image, (8, 8), np.float32(0), np.float32(0), np.float32(0.25), np.zeros(1))
    np.testing.assert_allclose(small[1:-1, 1:-1], 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"random_scale": (2.0, 0.5)}, "least and the largest factor"),
        ({"random_scale": (2.0,)}, "least and the largest factor"),
        ({"crop": 8, "pad_crop": 2}, "pad_crop is in random_scale and crop already"),
        ({"max_class_share": 0.5}, "set random_scale or crop"),
    ],
)
def test_contradictions_are_refused(augment, message):

    config = base.get_config()
    config.steps, config.dataset.name, config.task.name = 1, "shapes", "segmentation"
    config.dataset.augment.update(**augment)
    with pytest.raises(UsageError, match=message):
        validate(config)
