"""Writes CIFAR and MNIST sets as TFDS would, without TensorFlow.

TFDS can write array_record files without TensorFlow as long as it gets encoded pictures; only its download,
its extraction and the reading of the original files need it, and those are done here.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chanattn.data.prepare.download import check, download
from chanattn.data.prepare.formats import Cifar, Contents, Example, Mnist
from chanattn.errors import UsageError

_MNIST = Mnist({"train": "train", "test": "t10k"})

#: The sets that need no TensorFlow, by TFDS's names.
FORMATS: dict[str, Cifar | Mnist] = {
    "cifar10": Cifar(
        "cifar-10-batches-bin",
        {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]},
        {"label": "batches.meta.txt"},
    ),
    "cifar100": Cifar(
        "cifar-100-binary",
        {"train": ["train.bin"], "test": ["test.bin"]},
        {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
    ),
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
}


def prepare(builder_class: Any, data_dir: Path, archive: Path | None) -> Path:
    """Downloads, checks and converts a set; see `chanattn.data.prepare.prepare`.

    Everything is made in a temporary folder inside `data_dir`; the finished set is moved into place, and the
    folder removed in any case.
    """
    name, version = builder_class.name, str(builder_class.VERSION)
    target = data_dir / name / version
    if target.exists():
        return target
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"incomplete.{name}.", dir=data_dir) as folder:
        work = Path(folder)
        contents = FORMATS[name].read(_official_files(builder_class, work, archive))
        _write(builder_class, contents, work)
        target.parent.mkdir(exist_ok=True)
        (work / name / version).rename(target)
    return target


def _official_files(builder_class: Any, work: Path, archive: Path | None) -> list[Path]:
    """The files TFDS would download, with the checksums it has on record."""
    files = []
    for url, info in builder_class.url_infos.items():
        if archive is None:
            path = work / info.filename
            download(url, path, info.size)
        else:
            path = archive / info.filename if archive.is_dir() else archive
        if not path.is_file():
            raise UsageError(f"no file {path}: download it from {url}")
        check(path, info.checksum)
        files.append(path)
    return files


def _write(builder_class: Any, contents: Contents, work: Path) -> None:
    """Lets TFDS write its files below `work`."""

    class Encoded(builder_class, skip_registration=True):  # type: ignore[call-arg]
        """The official builder, fed with encoded pictures."""

        name = builder_class.name

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Example]]]:
            for label, names in contents.class_names.items():
                self.info.features[label].names = names
            return {
                split: self._generate_examples(examples)
                for split, examples in contents.splits.items()
            }

        def _generate_examples(self, examples: Iterator[Example]) -> Iterator[tuple[int, Example]]:
            for index, example in enumerate(examples):
                yield index, example | {"image": _png(example["image"])}

    builder = Encoded(data_dir=work, file_format="array_record")
    builder.download_and_prepare(download_dir=work / "downloads")


def _png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 1 or 3), RGB, as a PNG file: lossless."""
    if pixels.shape[-1] == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()
