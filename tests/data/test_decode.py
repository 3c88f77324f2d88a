"""Decoding and bringing pictures to one size, against Pillow and plain NumPy."""

import contextlib
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.data.decode import CorruptImage, decode, is_complete, jpeg_size
from chanattn.data.fields import Placement
from chanattn.data.fit import Box, Fit, WrongSize, centre_box, image_size, letterbox, random_box


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
    assert jpeg_size(COMPLETE["fill bytes"]) == jpeg_size(COMPLETE["preview in Exif"]) == (40, 48)
    assert jpeg_size(encode(smooth(37, 53))) == (37, 53)
    assert jpeg_size(encode(smooth(37, 53), ".png")) is None


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.7, 0.99])
def test_truncated_files_are_corrupt(kind, keep):
    data = encode(smooth(40, 40), kind)
    with pytest.raises(CorruptImage):
        decode(data[: int(keep * len(data))], 3)


def jpeg(*options: int) -> bytes:
    return cv2.imencode(".jpg", smooth(40, 48)[..., ::-1], options)[1].tobytes()


def segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + (len(content) + 2).to_bytes(2, "big") + content


def with_segment(data: bytes, kind: int, content: bytes) -> bytes:
    """A JPEG with one more segment behind its first marker."""
    return data[:2] + segment(kind, content) + data[2:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checked = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checked


PREVIEW = cv2.imencode(".jpg", smooth(8, 8))[1].tobytes()
PNG = encode(smooth(20, 24), ".png")
COMPLETE = {
    "baseline": jpeg(),
    "progressive": jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart markers": jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "preview in Exif": with_segment(jpeg(), 0xE1, b"Exif\0\0" + PREVIEW),
    "end marker in a comment": with_segment(jpeg(), 0xFE, b"\xff\xd9" * 100),
    "fill bytes": jpeg()[:2] + b"\xff" * 5 + jpeg()[2:],
    "PNG": PNG,
    "end in a text chunk": PNG[:33] + png_chunk(b"tEXt", b"IEND" * 99) + PNG[33:],
}
TRAILERS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            bytes(10_000),
            PREVIEW,
            PNG,
            PREVIEW[:-2],
            b"\xff\xd9",
            b"\0\0\0\x18ftypmp42" + bytes(5_000),
        ]
    ),
)


@pytest.mark.parametrize("kind", COMPLETE)
@given(trailer=TRAILERS)
def test_whatever_follows_a_picture_is_harmless(kind, trailer):
    data = COMPLETE[kind]
    np.testing.assert_array_equal(decode(data + trailer, 3), decode(data, 3))


@pytest.mark.parametrize("kind", COMPLETE)
def test_every_cut_is_found(kind):
    data = COMPLETE[kind]
    assert is_complete(data)
    wrong = [length for length in range(8, len(data)) if is_complete(data[:length])]
    assert not wrong


@given(
    data=st.binary(max_size=300), start=st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"])
)
def test_no_bytes_break_the_check(data, start):
    assert is_complete(start + data) in (True, False)
    with contextlib.suppress(CorruptImage):
        assert decode(start + data, 3).dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (PNG[:-5], "ends too early"),
        (b"<svg>", "not a picture that OpenCV reads"),
        (cv2.imencode(".tiff", smooth(9, 9) / np.float32(255))[1].tobytes(), "values are float32"),
    ],
)
def test_the_reason_is_said(data, reason):
    with pytest.raises(CorruptImage, match=reason):
        decode(data, 3)


def test_text_is_corrupt():
    with pytest.raises(CorruptImage):
        decode(b"<html>404</html>", 3)


@pytest.mark.parametrize("kind", [".png", ".jpg", ""])
@pytest.mark.parametrize("crop", [0.5, 0.875, 1.0])
def test_a_picture_of_the_size_asked_for_is_taken_as_it_is(kind, crop):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    stored = encode(image, kind) if kind else image
    found = Fit((32, 32, 3), resize=True, crop=crop)(stored)[0]
    np.testing.assert_array_equal(found, decode(stored, 3) if kind else image)
    other = Fit((31, 32, 3), resize=True, crop=crop)(stored)[0]
    assert other.shape == (31, 32, 3)


def test_a_random_crop_is_cut_from_a_picture_of_the_size_asked_for_as_well():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert not np.array_equal(Fit((32, 32, 3), resize=True, random=True)(image)[0], image)


def test_centre_crop_takes_the_middle():
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:35, 15:45] = 200  # The central 30 x 30 = 75 % of the shorter side.
    fit = Fit((10, 10, 3), resize=True, crop=0.75)
    assert (fit(image)[0] == 200).all()
    wider = Fit((10, 10, 3), resize=True, crop=1.0)(image)[0]
    assert wider[0].max() < 200


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_reduced_decoding_hardly_changes_the_result(crop):
    image = smooth(300, 400)
    fit = Fit((32, 32, 3), resize=True, crop=crop)
    from_jpeg = fit(encode(image))[0].astype(int)
    assert np.abs(from_jpeg - fit(image)[0]).mean() < 2


def test_random_crop_sees_the_same_box_in_jpeg_and_pixels():
    image = smooth(300, 400)
    fit = Fit((32, 32, 3), resize=True, random=True)
    for seed in range(20):
        from_jpeg = fit(encode(image), (seed,))[0].astype(int)
        assert np.abs(from_jpeg - fit(image, (seed,))[0]).mean() < 2.5
    assert not np.array_equal(fit(image, (1,))[0], fit(image, (2,))[0])


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


def ramp(height: int, width: int) -> np.ndarray:
    """A picture that tells where it is: rows in the first channel, columns in the second, 2 a pixel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([2 * y + 1, 2 * x + 1, np.full_like(y, 100)], -1).astype(np.uint8)


def assert_is_placed(pixels: np.ndarray, placement: Placement, tolerance: float) -> None:
    """Every pixel shows the place of the stored picture that the placement tells, or the padding."""
    assert pixels.shape[:2] == placement.size
    y, x = (np.arange(side) + 0.5 for side in placement.size)
    y, x = y / placement.scale_y + placement.top, x / placement.scale_x + placement.left
    height, width = placement.stored
    # Interpolation smears the border of the picture, in pixels of the result and of the picture.
    edge = max(1, 1 / placement.scale_y, 1 / placement.scale_x)
    inside = np.ix_((y > edge) & (y < height - edge), (x > edge) & (x < width - edge))
    shown = pixels.astype(float)[inside]
    np.testing.assert_allclose(
        shown[..., 0], 2 * np.broadcast_to(y[:, None], pixels.shape[:2])[inside], atol=tolerance
    )
    np.testing.assert_allclose(
        shown[..., 1], 2 * np.broadcast_to(x[None], pixels.shape[:2])[inside], atol=tolerance
    )
    outside = (y < -edge)[:, None] | (y > height + edge)[:, None] | (x < -edge) | (x > width + edge)
    assert (pixels[outside] == FILL).all()


FILL = (7, 8, 9)


@pytest.mark.parametrize(
    "fit",
    [
        Fit((32, 24, 3), resize=True),
        Fit((32, 24, 3), resize=True, crop=0.8),
        Fit((20, 20, 3), resize=True, random=True),
        Fit((40, 40, 3), resize=True, letterbox=True, fill=FILL),
        Fit((20, 50, 3), resize=True, letterbox=True, fill=FILL),
        Fit((90, 30, 3), resize=True, letterbox=True, fill=FILL),
    ],
    ids=lambda fit: f"{fit.shape[0]}x{fit.shape[1]} {'random' * fit.random}{'box' * fit.letterbox}",
)
@pytest.mark.parametrize("kind", [".jpg", ""])
def test_the_placement_tells_where_the_picture_lies(fit, kind):
    image = ramp(101, 80)
    for seed in range(10 if fit.random else 1):
        pixels, placement = fit(encode(image) if kind else image, (seed,))
        assert placement.stored == (101, 80)
        assert_is_placed(pixels, placement, 8 if kind else 2)


BOX = st.tuples(st.integers(-30, 90), st.integers(-30, 90), st.integers(1, 90), st.integers(1, 90))


@given(box=BOX, kind=st.sampled_from([".jpg", ""]))
def test_a_box_may_reach_beyond_the_picture(box, kind):
    class Chosen(Fit):
        def _box(self, stored, seed):
            return Box(*box)

    image, fit = ramp(60, 75), Chosen((16, 20, 3), resize=True, random=True, fill=FILL)
    pixels, placement = fit(encode(image) if kind else image)
    assert_is_placed(pixels, placement, 10 if kind else 3)


def test_a_letterbox_keeps_the_whole_picture_and_its_shape():
    fit = Fit((40, 40, 3), resize=True, letterbox=True, fill=FILL)
    pixels, placement = fit(np.full((30, 60, 3), 200, np.uint8))
    assert (pixels[:19] == 200).all()
    assert (pixels[21:] == FILL).all()
    assert placement[2:] == (0, 0, 40 / 60, 40 / 60, False)
    assert letterbox((480, 640), (240, 320)) == (0, 0, 480, 640)
    for size in ((213, 320), (320, 213), (33, 100)):
        box = letterbox(size, (240, 320))
        assert box.height >= size[0]
        assert box.width >= size[1]
        assert abs(box.height / box.width - 0.75) < 0.75 / min(size)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [(0, None), (32, (32, 32)), ((240, 320), (240, 320)), ([240, 320], (240, 320))],
)
def test_image_size_is_one_number_or_two(wanted, size):
    assert image_size(wanted) == size
