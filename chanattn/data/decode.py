"""Encoded pictures to pixels, with OpenCV; knows nothing of JAX, so that worker processes can use it."""

import cv2
import numpy as np

# Parallelism comes from Grain's threads and processes; OpenCV's own threads would only compete with it.
cv2.setNumThreads(1)

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"
#: Sides can be divided by these while a JPEG is decoded, which costs less than a full decode.
REDUCTIONS = (8, 4, 2)
_FLAGS = {
    (1, 1): cv2.IMREAD_GRAYSCALE,
    (1, 2): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    (1, 4): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    (1, 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    (3, 1): cv2.IMREAD_COLOR,
    (3, 2): cv2.IMREAD_REDUCED_COLOR_2,
    (3, 4): cv2.IMREAD_REDUCED_COLOR_4,
    (3, 8): cv2.IMREAD_REDUCED_COLOR_8,
}


class CorruptImage(ValueError):
    """Bytes that are no picture, or not all of one."""


def decode(data: bytes, channels: int, reduction: int = 1) -> np.ndarray:
    """Decodes a JPEG, PNG or whatever else OpenCV reads.

    The orientation tag of photographs is ignored, as TFDS and timm do: ImageNet's labels and published
    weights go with the pictures as stored.

    Args:
        data: The file's bytes.
        channels: 3 for RGB, 1 for grey.
        reduction: 1, 2, 4 or 8: both sides are divided by it, rounded up.

    Returns:
        (H, W, channels) uint8.

    Raises:
        CorruptImage: The bytes cannot be decoded, or end too early (which OpenCV itself would fill up
            with grey).
    """
    if _is_truncated(data):
        raise CorruptImage("the file ends too early")
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8),
            _FLAGS[channels, reduction] | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    except cv2.error as error:
        raise CorruptImage(f"OpenCV says: {error.err}") from error
    if image is None:
        raise CorruptImage("not a picture that OpenCV reads")
    if channels == 1:
        return image[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from the header of a JPEG, without decoding; None if there is none to be found.

    The header is a chain of segments: a marker of two bytes, a length of two, and the content; the sizes
    stand in the "start of frame" segment (ITU-T T.81, B.2.2).
    """
    if not data.startswith(_JPEG_START):
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = np.frombuffer(data, ">u2", 2, position + 5)
            return int(height), int(width)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker; bytes after the marker are common and harmless."""
    if data.startswith(_JPEG_START):
        # An embedded preview has an end marker too, but stands in the first half.
        return data.find(_JPEG_END, len(data) // 2) < 0
    if data.startswith(_PNG_START):
        return data.find(_PNG_END, len(data) // 2) < 0
    return False
