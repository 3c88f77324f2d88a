"""Encoded pictures to pixels, with OpenCV; knows nothing of JAX, so that worker processes can use it."""

import io
import re
import threading

import cv2
import numpy as np

_JPEG_START, _PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_PNG_KIND, _PNG_PALETTE = 25, b"\x03"  # place and value of the type of colours (ISO 15948, 11.2.2)
_GIF_STARTS = (b"GIF87a", b"GIF89a")
#: First bytes of the formats that OpenCV reads, where they are long enough to tell one from a text.
_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM.{4}\0\0\0\0|II\*\0|MM\0\*|RIFF.{4}WEBP"
    rb"|.{4}ftypavi[fs]|\0\0\0\x0cjP  \r\n\x87\n",
    re.DOTALL,
)
_END_OF_IMAGE = 0xD9
_WITHOUT_CONTENT = (0x01, 0xD8)  # markers that no length follows, beside the end
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


class NotLabels(ValueError):
    """A picture that can be decoded, but not be a label map; the text follows "a label map"."""


def settle_opencv(threads: int = 1, log_level: int = 0) -> None:
    """Has OpenCV work in the thread that calls it, and say nothing.

    Parallelism comes from Grain's threads and processes, with which OpenCV's own would only compete; and what
    it would print about a picture, without its name, is said by `CorruptImage`.
    """
    cv2.setNumThreads(threads)
    cv2.utils.logging.setLogLevel(log_level)


class Decoding:
    """While one of these is entered, OpenCV is settled; the last to be left restores what was before."""

    _lock = threading.Lock()
    _entered = 0
    _before = (0, 0)

    def __enter__(self) -> None:
        with self._lock:
            if not Decoding._entered:
                Decoding._before = (cv2.getNumThreads(), cv2.utils.logging.getLogLevel())
                settle_opencv()
            Decoding._entered += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            Decoding._entered -= 1
            if not Decoding._entered:
                settle_opencv(*Decoding._before)


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
    if not data:
        raise CorruptImage("the file is empty")
    if not is_complete(data):
        raise CorruptImage("the file ends too early")
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8),
            _FLAGS[channels, reduction] | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    except cv2.error as error:
        raise CorruptImage(f"OpenCV says: {error.err}") from error
    if image is None:
        raise CorruptImage(_reason(data))
    if channels == 1:
        return image[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_labels(data: bytes) -> np.ndarray:
    """Decodes a label map: the numbers of a picture of one channel, or the indices of one with a palette.

    Returns:
        (H, W) uint8 or uint16.

    Raises:
        CorruptImage: As `decode`.
        NotLabels: It has several channels, as a map in colours has, or has been compressed with loss.
    """
    if data.startswith(_JPEG_START):
        raise NotLabels("as JPEG, which changes the numbers: save label maps as PNG")
    if not is_complete(data):
        raise CorruptImage("the label map ends too early")
    if data.startswith(_PNG_START) and data[_PNG_KIND : _PNG_KIND + 1] == _PNG_PALETTE:
        return _indices(data)
    try:
        labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # there is nothing in it, or too much
        labels = None
    if labels is None:
        raise CorruptImage("the label map is not a picture that OpenCV reads")
    if labels.ndim != 2:
        raise NotLabels(
            f"of {labels.shape[2]} channels: save it with one, the number of the class, or with a palette"
        )
    return labels


def _indices(data: bytes) -> np.ndarray:
    """(H, W) uint8 of a PNG with a palette, which OpenCV would turn into colours."""
    from PIL import Image  # takes a while, and few label maps have a palette

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            return np.array(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptImage(f"the label map is damaged: {error}") from error


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
        if marker == 0xFF:  # any number of them may stand before a marker
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = np.frombuffer(data, ">u2", 2, position + 5)
            return int(height), int(width)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from the header of a JPEG, PNG or GIF, without decoding; None for all else."""
    if data.startswith(_PNG_START) and len(data) >= 24:
        width, height = np.frombuffer(data, ">u4", 2, 16)
        return int(height), int(width)
    if data.startswith(_GIF_STARTS) and len(data) >= 10:
        width, height = np.frombuffer(data, "<u2", 2, 6)
        return int(height), int(width)
    return jpeg_size(data)


def _reason(data: bytes) -> str:
    """Why there is no 8-bit picture in a file."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        return "not a picture that OpenCV reads"
    return f"its values are {stored.dtype}: save it with 8 bits a channel"


def begins_like_a_picture(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of a picture in one of the usual formats."""
    return _BEGINNINGS.match(head) is not None


def is_complete(data: bytes) -> bool:
    """Whether a JPEG or PNG reaches its end marker; of other formats nothing is said.

    Decided by going through the segments of a JPEG (ITU-T T.81, B.1.1) or chunks of a PNG (ISO 15948, 5.3):
    an embedded preview has an end marker of its own, and what follows the picture may be longer than it, as
    cameras and phones append videos, maps of depth and further pictures.
    """
    if data.startswith(_JPEG_START):
        return _jpeg_ends(data)
    if data.startswith(_PNG_START):
        return _png_ends(data)
    return True


def _jpeg_ends(data: bytes) -> bool:
    places: np.ndarray | None = None
    position = len(_JPEG_START)
    while position + 1 < len(data):
        # Segments follow each other; what is between them, coded data, is looked through only where it is.
        if data[position] != 0xFF or not _is_marker(data[position + 1]):
            places = _markers(data) if places is None else places
            number = np.searchsorted(places, position)
            if number == len(places):
                return False
            position = int(places[number])
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            return True
        position += 2
        if marker not in _WITHOUT_CONTENT:
            position += int.from_bytes(data[position : position + 2], "big")
    return False


def _is_marker(kind: int) -> bool:
    """Whether 0xFF and this byte are a marker; within coded data it is 0, or 0xD0 to 0xD7 at a restart."""
    return kind not in (0, 0xFF) and not 0xD0 <= kind <= 0xD7


def _markers(data: bytes) -> np.ndarray:
    """Where the markers are, ascending."""
    array = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(array[:-1] == 0xFF)
    kinds = array[places + 1]
    return places[(kinds != 0) & (kinds != 0xFF) & ((kinds < 0xD0) | (kinds > 0xD7))]


def _png_ends(data: bytes) -> bool:
    position = len(_PNG_START)
    while position + 12 <= len(data):
        length, kind = (
            int.from_bytes(data[position : position + 4], "big"),
            data[position + 4 : position + 8],
        )
        position += 12 + length
        if kind == b"IEND":
            return position <= len(data)
    return False
