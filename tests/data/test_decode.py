"""Decoding and bringing pictures to one size, against Pillow and plain NumPy."""

import cv2
import numpy as np
import pytest

from chanattn.data.decode import CorruptImage, decode, jpeg_size
from chanattn.data.fit import Fit, WrongSize, centre_box, random_box


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * y / height, 255 * x / width, 127 + 100 * np.sin(x / 40 + y / 30)]
    return np.stack(planes, -1).astype(np.uint8)


def encode(image: np.ndarray, kind: str = ".jpg") -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return cv2.imencode(kind, pixels)[1].tobytes()


def test_png_is_decoded_exactly_in_rgb_order():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(decode(encode(image, ".png"), 3), image)


def test_grey_stays_one_channel_or_becomes_three_equal_ones():
    image = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
    data = encode(image, ".png")
    np.testing.assert_array_equal(decode(data, 1), image[..., None])
    np.testing.assert_array_equal(decode(data, 3), np.repeat(image[..., None], 3, -1))


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_decoding_is_block_averaging(reduction):
    image = smooth(64, 96)
    blocks = image.reshape(64 // reduction, reduction, 96 // reduction, reduction, 3)
    reduced = decode(encode(image), 3, reduction)
    assert np.abs(reduced - blocks.mean((1, 3))).mean() < 4


def test_jpeg_size_is_read_from_the_header():
    assert jpeg_size(encode(smooth(37, 53))) == (37, 53)
    assert jpeg_size(encode(smooth(37, 53), ".png")) is None


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.7, 0.99])
def test_truncated_files_are_corrupt(kind, keep):
    data = encode(smooth(40, 40), kind)
    with pytest.raises(CorruptImage):
        decode(data[: int(keep * len(data))], 3)


def test_bytes_after_the_end_are_harmless():
    data = encode(smooth(20, 20))
    np.testing.assert_array_equal(decode(data + bytes(50), 3), decode(data, 3))


def test_text_is_corrupt():
    with pytest.raises(CorruptImage):
        decode(b"<html>404</html>", 3)


def test_centre_crop_takes_the_middle():
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:35, 15:45] = 200  # The central 30 x 30 = 75 % of the shorter side.
    fit = Fit((10, 10, 3), resize=True, crop=0.75)
    assert (fit(image) == 200).all()
    wider = Fit((10, 10, 3), resize=True, crop=1.0)(image)
    assert wider[0].max() < 200


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_reduced_decoding_hardly_changes_the_result(crop):
    image = smooth(300, 400)
    fit = Fit((32, 32, 3), resize=True, crop=crop)
    from_jpeg = fit(encode(image)).astype(int)
    assert np.abs(from_jpeg - fit(image)).mean() < 2


def test_random_crop_sees_the_same_box_in_jpeg_and_pixels():
    image = smooth(300, 400)
    fit = Fit((32, 32, 3), resize=True, random=True)
    for seed in range(20):
        from_jpeg = fit(encode(image), (seed,)).astype(int)
        assert np.abs(from_jpeg - fit(image, (seed,))).mean() < 2.5
    assert not np.array_equal(fit(image, (1,)), fit(image, (2,)))


def test_random_boxes_have_the_published_areas_and_aspects():
    rng = np.random.default_rng(0)
    boxes = [random_box((300, 400), rng) for _ in range(2000)]
    areas = np.array([b.height * b.width for b in boxes]) / (300 * 400)
    aspects = np.array([b.width / b.height for b in boxes])
    assert areas.min() < 0.1
    assert 0.9 < areas.max() <= 1
    # Half a pixel of rounding on the shortest side widens the range a little.
    assert 0.74 < aspects.min() < 0.78
    assert 1.29 < aspects.max() < 1.35
    assert all(b.top >= 0 and b.top + b.height <= 300 for b in boxes)
    assert all(b.left >= 0 and b.left + b.width <= 400 for b in boxes)
    # An elongated picture holds no box of large area: the central one is taken, not one outside.
    box = random_box((10, 1000), np.random.default_rng(0))
    assert box.height <= 10


def test_centre_box_keeps_the_aspect():
    assert centre_box((100, 50), 1.0) == (25, 0, 50, 50)
    assert centre_box((100, 50), 0.5) == (37, 12, 25, 25)
    assert centre_box((100, 100), 1.0, aspect=2.0)[2:] == (50, 100)


def test_other_size_is_refused_unless_resizing():
    with pytest.raises(WrongSize, match="is 4x6, not 5x5"):
        Fit((5, 5, 3), resize=False)(np.zeros((4, 6, 3), np.uint8))
