"""The official files of CIFAR and MNIST: from archives to labelled pixels.

CIFAR: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. MNIST: Y. LeCun et al.,
"Gradient-based learning applied to document recognition", 1998; Fashion-MNIST (H. Xiao et al., 2017) has the
same format.
"""

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chanattn.errors import UsageError

#: One example as TFDS stores it, but with the picture as pixels (H, W, C) uint8.
Example = dict[str, Any]


class Contents(NamedTuple):
    """What the files of a data set hold."""

    splits: dict[str, Iterator[Example]]
    class_names: dict[str, list[str]]  # by label feature; empty where TFDS knows them


class Cifar(NamedTuple):
    """The binary version of a CIFAR set: rows of label bytes, then 3 x 32 x 32 bytes.

    Attributes:
        folder: Folder inside the archive.
        files: Split -> its files.
        names: Label feature -> file with its class names, in the order of the label bytes.
    """

    folder: str
    files: dict[str, list[str]]
    names: dict[str, str]

    def read(self, files: list[Path]) -> Contents:
        """Reads the one archive; its members are never written to disk."""
        (archive,) = files
        wanted = [*self.names.values(), *(name for part in self.files.values() for name in part)]
        members = _members(archive, [f"{self.folder}/{name}" for name in wanted])
        content = dict(zip(wanted, members, strict=True))
        return Contents(
            {split: self._examples(split, content) for split in self.files},
            {label: content[name].decode().split() for label, name in self.names.items()},
        )

    def _examples(self, split: str, content: dict[str, bytes]) -> Iterator[Example]:
        data = np.frombuffer(b"".join(content[name] for name in self.files[split]), np.uint8)
        for index, row in enumerate(data.reshape(-1, len(self.names) + 3 * 32 * 32)):
            labels = {label: int(row[i]) for i, label in enumerate(self.names)}
            pixels = row[len(self.names) :].reshape(3, 32, 32).transpose(1, 2, 0)
            yield labels | {"id": f"{split}_{index:05d}", "image": pixels}


class Mnist(NamedTuple):
    """The IDX format: a big-endian header (16 bytes for pictures, 8 for labels), then bytes.

    Attributes:
        splits: Split -> prefix of its two files.
    """

    splits: dict[str, str]

    def read(self, files: list[Path]) -> Contents:
        """Reads the four files, which keep their official names."""
        by_name = {path.name: path for path in files}
        return Contents(
            {split: self._examples(prefix, by_name) for split, prefix in self.splits.items()}, {}
        )

    def _examples(self, prefix: str, files: dict[str, Path]) -> Iterator[Example]:
        images = gzip.decompress(files[f"{prefix}-images-idx3-ubyte.gz"].read_bytes())
        labels = gzip.decompress(files[f"{prefix}-labels-idx1-ubyte.gz"].read_bytes())
        count, height, width = np.frombuffer(images, ">u4", 3, 4).tolist()
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(count, height, width, 1)
        for image, label in zip(pixels, labels[8:], strict=True):
            yield {"image": image, "label": label}


def _members(archive: Path, names: list[str]) -> list[bytes]:
    """The contents of these members of a tar archive."""
    found = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in names and member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None  # It is a regular file.
                    found[member.name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{archive} is no readable tar archive: {error}") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"{archive} lacks {missing[0]}: it is not the official archive")
    return [found[name] for name in names]
