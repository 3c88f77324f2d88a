"""Augmentations against NumPy re-derivations and Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.data import augment
from chanattn.data.augment import color, mix
from chanattn.data.augment import randaugment as ra


def pictures(n: int = 6, size: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def unit(images: np.ndarray) -> jax.Array:
    return jnp.asarray(images, jnp.float32) / 255


def windows(image: np.ndarray, padding: int) -> set[bytes]:
    h, w, _ = image.shape
    padded = np.pad(image, ((padding,) * 2, (padding,) * 2, (0, 0)))
    side = range(2 * padding + 1)
    return {padded[y : y + h, x : x + w].tobytes() for y in side for x in side}


def test_pad_and_crop_takes_every_window_of_the_padded_image():
    image = np.asarray(unit(pictures(1, 5)))[0]
    crops = augment.pad_and_crop(jax.random.key(0), jnp.repeat(image[None], 400, 0), 2)
    assert {np.asarray(crop).tobytes() for crop in crops} == windows(image, 2)


def test_flip_mirrors_about_half_of_the_images():
    x = np.asarray(unit(pictures(200, 4)))
    y = np.asarray(augment.flip(jax.random.key(0), x))
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(y, x, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(y, x, strict=True)])
    assert (mirrored ^ kept).all()
    assert 70 < mirrored.sum() < 130


def test_cutout_erases_one_square_cut_at_the_border():
    x = jnp.full((300, 12, 12, 3), 0.25)
    y = np.asarray(augment.cutout(jax.random.key(0), x, 6, jnp.array([0.5, 0.6, 0.7])))
    sizes = set()
    for image in y:
        erased = image[..., 0] != 0.25
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        assert erased[np.ix_(rows, columns)].all()
        assert np.ptp(rows) + 1 == len(rows)
        assert np.ptp(columns) + 1 == len(columns)
        np.testing.assert_allclose(
            image[erased], np.tile([0.5, 0.6, 0.7], (erased.sum(), 1)), rtol=1e-6
        )
        sizes.add((len(rows), len(columns)))
    assert max(sizes) == (6, 6)
    assert min(sizes) == (3, 3)  # The centre is inside the image.


def test_mixup_blends_with_the_partner_by_the_weight():
    x = np.asarray(unit(pictures(8)))
    mixed, weight = map(np.asarray, jax.jit(augment.mixup)(jax.random.key(3), x, 0.4))
    assert 0 < weight[0] < 1
    assert (weight == weight[0]).all()
    np.testing.assert_allclose(mixed, weight[0] * x + (1 - weight[0]) * x[::-1], atol=1e-6)


def test_mixup_weights_follow_the_beta_distribution():
    weights = jax.vmap(lambda key: augment.mixup(key, jnp.zeros((1, 1, 1, 3)), 0.2).weight[0])(
        jax.random.split(jax.random.key(0), 4000)
    )
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert abs(weights.mean() - 0.5) < 0.02
    assert abs(weights.var() - 1 / (4 * 1.4)) < 0.01


def test_cutmix_weight_is_the_area_that_is_left():
    x = jnp.concatenate([jnp.zeros((3, 20, 10, 3)), jnp.ones((3, 20, 10, 3))])
    weights = []
    operation = jax.jit(lambda key: augment.cutmix(key, x, 1.0))
    for seed in range(20):
        mixed, weight = map(np.asarray, operation(jax.random.key(seed)))
        np.testing.assert_allclose(1 - mixed[0].mean(), weight[0], atol=1e-6)
        np.testing.assert_allclose(mixed[5].mean(), weight[5], atol=1e-6)
        pasted = mixed[0, ..., 0] == 1
        rows, columns = pasted.any(1), pasted.any(0)
        assert pasted[np.ix_(rows, columns)].all()
        weights.append(weight[0])
    assert 0.3 < np.mean(weights) < 0.9
    assert np.std(weights) > 0.1


def test_mixup_and_cutmix_take_turns():
    x = jnp.concatenate([jnp.zeros((2, 8, 8, 3)), jnp.ones((2, 8, 8, 3))])
    blended = []
    operation = jax.jit(lambda key: mix.mixup_or_cutmix(key, x, 1.0, 1.0).image)
    for seed in range(30):
        image = np.asarray(operation(jax.random.key(seed)))
        blended.append(not np.isin(image, [0, 1]).all())
    assert 5 < sum(blended) < 25


def test_mix_labels_belong_to_the_partner():
    np.testing.assert_array_equal(mix.partner(jnp.arange(5)), [4, 3, 2, 1, 0])


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color", "Sharpness"])
def test_enhancements_equal_pillow(name, factor):
    from PIL import Image, ImageEnhance

    ours = {
        "Brightness": color.brightness,
        "Contrast": color.contrast,
        "Color": color.saturation,
        "Sharpness": ra.sharpness,
    }[name]
    images = pictures()
    found = np.asarray(ours(unit(images), jnp.float32(factor))) * 255
    for image, result in zip(images, found, strict=True):
        expected = getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(factor)
        # Pillow rounds the grey or smoothed picture to whole levels before it blends.
        np.testing.assert_allclose(result, np.asarray(expected), atol=1.6 + factor)


@pytest.mark.parametrize("bits", [8, 6, 4, 1])
def test_posterize_equals_pillow(bits):
    from PIL import Image, ImageOps

    images = pictures()
    found = np.asarray(ra.posterize(unit(images), jnp.full(len(images), bits))) * 255
    expected = [np.asarray(ImageOps.posterize(Image.fromarray(i), bits)) for i in images]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-3)


@pytest.mark.parametrize("threshold", [0, 100, 200])
def test_solarize_equals_pillow(threshold):
    from PIL import Image, ImageOps

    images = pictures()
    found = ra.solarize(unit(images), jnp.full(len(images), threshold / 255, jnp.float32))
    expected = [np.asarray(ImageOps.solarize(Image.fromarray(i), threshold)) for i in images]
    np.testing.assert_allclose(np.asarray(found) * 255, np.stack(expected), atol=1e-3)


@pytest.mark.parametrize("span", [256, 120, 5, 1])
def test_autocontrast_and_equalize_equal_pillow(span):
    from PIL import Image, ImageOps

    images = (pictures(size=40).astype(int) % span + (256 - span) // 2).astype(np.uint8)
    stretched, flat = ra.autocontrast(unit(images)), ra.equalize(unit(images))
    for i, image in enumerate(map(Image.fromarray, images)):
        # Pillow cuts to whole levels where we keep fractions.
        np.testing.assert_allclose(
            np.asarray(stretched[i]) * 255, np.asarray(ImageOps.autocontrast(image)), atol=1.01
        )
        np.testing.assert_allclose(
            np.asarray(flat[i]) * 255, np.asarray(ImageOps.equalize(image)), atol=1e-3
        )


APPLY = jax.jit(ra.apply)


@pytest.mark.parametrize("level", [-0.9, 0.3, 1.0])
@pytest.mark.parametrize("name", ra.GEOMETRIC)
def test_geometric_operations_equal_pillow(name, level):
    from PIL import Image

    size = 24
    images = pictures(3, size)
    choice = jnp.full(3, ra.OPERATIONS.index(name))
    found = np.asarray(APPLY(unit(images), choice, jnp.full(3, level))) * 255
    shift = float(np.trunc(np.float32(level) * (150 / 331) * size))
    # Result to source, as Pillow's transform wants it; shears keep the centre in place.
    matrix = {
        "shear_x": (1, 0.3 * level, -0.3 * level * size / 2, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * level, 1, -0.3 * level * size / 2),
        "translate_x": (1, 0, shift, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, shift),
    }
    for image, result in zip(images, found, strict=True):
        picture, gray = Image.fromarray(image), (128, 128, 128)
        if name == "rotate":
            expected = picture.rotate(30 * level, fillcolor=gray)
        else:
            expected = picture.transform(
                picture.size, Image.Transform.AFFINE, matrix[name], fillcolor=gray
            )
        wrong = np.abs(result - np.asarray(expected)).max(-1) > 0.5
        # Places that fall on the edge between two pixels may round either way.
        assert wrong.mean() < 0.03


def test_each_image_gets_its_own_operation():
    n = len(ra.OPERATIONS)
    one = np.random.default_rng(0).integers(40, 200, (1, 20, 20, 3), np.uint8)
    images = unit(np.repeat(one, n, 0))
    level = jnp.full(n, 0.7)
    together = np.asarray(APPLY(images, jnp.arange(n), level))
    for i in range(n):
        alone = APPLY(images[:1], jnp.array([i]), level[:1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-6)
    np.testing.assert_array_equal(together[0], images[0])
    changed = [not np.allclose(together[i], images[0], atol=1e-3) for i in range(1, n)]
    assert all(changed)


def test_color_jitter_is_within_its_strength_and_differs_by_image():
    x = jnp.broadcast_to(jnp.float32(0.5), (500, 2, 2, 3))
    y = np.asarray(augment.color_jitter(jax.random.key(0), x, 0.4))
    # Grey pictures of one colour know only brightness.
    assert 0.3 <= y.min() < 0.32
    assert 0.68 < y.max() <= 0.7
    np.testing.assert_allclose(y.std(axis=(1, 2, 3)), 0, atol=1e-6)


OPERATIONS = {
    "pad_and_crop": lambda k, x: augment.pad_and_crop(k, x, 2),
    "flip": augment.flip,
    "cutout": lambda k, x: augment.cutout(k, x, 4, jnp.zeros(3)),
    "color_jitter": lambda k, x: augment.color_jitter(k, x, 0.4),
    "rand_augment": lambda k, x: augment.rand_augment(k, x, 2, 9.0),
    "mixup": lambda k, x: augment.mixup(k, x, 0.5).image,
    "cutmix": lambda k, x: augment.cutmix(k, x, 1.0).image,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_key_decides_everything_and_values_stay_in_range(name):
    x = unit(pictures(16))
    operation = jax.jit(OPERATIONS[name])
    first, again, other = (np.asarray(operation(jax.random.key(k), x)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == x.shape
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
