"""Pictures of one's own, which belong to no data set: files, encoded bytes, arrays."""

import os
import stat
from collections.abc import Hashable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from chanattn.data.decode import stored_size
from chanattn.data.fields import PLACE, Field, Whereabouts
from chanattn.data.source import ImageShape, Record
from chanattn.errors import UsageError

#: The path of a file, its content, or (H, W, 3) or (H, W) uint8.
Picture = str | os.PathLike[str] | bytes | np.ndarray

#: Decoded to colours, one of so many pixels takes 0.8 GB. OpenCV itself decodes up to 2^30.
MOST_PIXELS = 2**28
MOST_BYTES = 2**30


class OwnPictures:
    """A source of pictures in the order given, see `chanattn.data.source.Source`."""

    note = ""
    absent: tuple[str, ...] = ()
    objects: int | None = None

    def __init__(
        self,
        pictures: Sequence[Picture],
        image_shape: ImageShape,
        class_names: tuple[str, ...] = (),
        *,
        keep_whole: bool = False,
    ):
        """Of pictures that are treated as those of a data set; the field `PLACE` tells how each was moved.

        Args:
            pictures: in their order.
            image_shape: of the pictures of the data set, as they are stored.
            class_names: of the data set.
            keep_whole: as of a field (`chanattn.data.fields.Field`).

        Raises:
            UsageError: An array is no picture.
        """
        self.pictures = pictures
        self.image_shape = image_shape
        self.class_names = class_names
        self.fields: Mapping[str, Field] = {PLACE: Whereabouts(keep_whole)}
        for index, picture in enumerate(pictures):
            if isinstance(picture, np.ndarray):
                _check(picture, self.describe(index))

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`; what is too large is an error before it is decoded."""
        return [self._record(self.pictures[i]) for i in indices]

    def _record(self, picture: Picture) -> Record | OSError:
        if isinstance(picture, np.ndarray):
            return Record(_with_channels(picture, self.image_shape[2]), {PLACE: None})
        try:
            content = picture if isinstance(picture, bytes) else _content(picture)
        except OSError as error:
            return error
        height, width = stored_size(content) or (0, 0)
        if height * width > MOST_PIXELS:
            return OSError(f"it has {width}x{height} pixels, more than 2^28: reduce it first")
        return Record(content, {PLACE: None})

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        picture = self.pictures[index]
        return f"number {index}" if isinstance(picture, bytes | np.ndarray) else os.fspath(picture)

    def places(self) -> Iterator[Hashable]:
        """See `Source.places`."""
        return iter(range(len(self)))


def _content(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; no pipe and no device, because reading one may have no end."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise OSError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no file")
    if status.st_size > MOST_BYTES:
        raise OSError(f"it has {status.st_size:,} bytes, more than 2^30: reduce it first")
    with open(path, "rb") as file:
        return file.read()


def _check(picture: np.ndarray, name: str) -> None:
    colour = picture.ndim == 3 and picture.shape[2] == 3
    if picture.dtype != np.uint8 or not (colour or picture.ndim == 2) or not picture.size:
        raise UsageError(
            f"picture {name} is {picture.dtype} of the shape {picture.shape}; give (H, W, 3) uint8 in RGB, "
            "or (H, W) uint8 in grey"
        )


def _with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """As `decode` turns colours into grey and back."""
    if picture.ndim == 2:
        return np.repeat(picture[..., None], channels, axis=2)
    return picture if channels == 3 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
