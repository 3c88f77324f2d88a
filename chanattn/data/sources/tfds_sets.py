"""Classification sets of TensorFlow Datasets, read without TensorFlow.

`tfds.data_source` reads array_record files at random positions; pictures are handed on encoded, so
that decoding happens where it can be done in parallel and at reduced size.
"""

import contextlib
import io
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tensorflow_datasets.core.decode import DeserializeMethod
from tensorflow_datasets.proto import tf_example_pb2

from chanattn.data.source import ImageShape, Record
from chanattn.errors import UsageError, did_you_mean
from chanattn.paths import to_path

_LONGEST_REASON = 200  # characters
DEFAULT_DIR = "~/tensorflow_datasets"


def open_split(dataset: ConfigDict, split: str, other_names: tuple[str, ...] = ()) -> "TfdsSplit":
    """Opens a split, in TFDS's own syntax (`train[:10%]+test`), of a prepared set.

    Args:
        dataset: `config.dataset`; `name` may carry a config and a version as TFDS writes them.
        split: The split.
        other_names: Names that are not TFDS's, to suggest when `name` is misspelt.

    Raises:
        UsageError: The set is unknown, not prepared, not in a random-access format, not one of
            classification, or has no such split; or the split is a part of a set that TFDS did not shuffle.
    """
    folders = data_dirs(dataset.data_dir)
    builder = _builder(dataset.name, folders, other_names)
    image, label = _features(builder)
    try:
        records = builder.as_data_source(
            split=split, deserialize_method=DeserializeMethod.RAW_BYTES
        )
    except ValueError as error:  # Unknown split or a slice out of range; the message says which.
        raise UsageError(
            f"split {split!r} of {dataset.name!r}: {' '.join(str(error).split())}; "
            f"it has {', '.join(builder.info.splits)}"
        ) from error
    if builder.info.disable_shuffling and "[" in split:
        raise UsageError(
            f"split {split!r} of {dataset.name!r}: the set is stored in the order in which it was made, so"
            f" that a part of it is no fair sample; take whole ones: {', '.join(builder.info.splits)}"
        )
    files = builder.info.splits[split].file_instructions
    parts = [(file.filename, range(file.skip, file.skip + file.take)) for file in files]
    return TfdsSplit(builder, records, f"{dataset.name}/{split}", image, label, parts)


def declared(
    dataset: ConfigDict, other_names: tuple[str, ...] = ()
) -> tuple[ImageShape, tuple[str, ...]]:
    """Shape of the pictures and names of the classes that TFDS knows, whether the set is prepared or not.

    Args:
        dataset: `config.dataset`.
        other_names: As in `open_split`.

    Returns:
        Height and width None where pictures differ; no names where only the prepared set has them.

    Raises:
        UsageError: The set is unknown or not one of classification.
    """
    builder = _builder(
        dataset.name, data_dirs(dataset.data_dir), other_names, must_be_prepared=False
    )
    image, label = _features(builder)
    features = builder.info.features
    return tuple(features[image].shape), tuple(features[label].names or ())


def data_dirs(data_dir: str | os.PathLike[str]) -> list[Path]:
    """Where prepared sets are looked for: the folder given, else $TFDS_DATA_DIR, else TFDS's own."""
    if data_dir:
        return [to_path(data_dir)]
    folders = [DEFAULT_DIR]
    if os.environ.get("TFDS_DATA_DIR"):
        folders.insert(0, os.environ["TFDS_DATA_DIR"])
    return [to_path(folder) for folder in folders]


class TfdsSplit:
    """Pictures and labels of one split of a TFDS set."""

    def __init__(
        self,
        builder: Any,
        records: Any,
        name: str,
        image: str,
        label: str,
        parts: list[tuple[str, range]],
    ):
        height, width, channels = builder.info.features[image].shape
        self.class_names = tuple(builder.info.features[label].names)
        self.image_shape: ImageShape = (height, width, channels)
        self.name = name
        self.note = ""
        self.absent: tuple[str, ...] = ()  # the labels have not been read
        self._parts = parts  # of the files
        self._records = records
        self._image = image
        self._label = label

    def __len__(self) -> int:
        return len(self._records)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [self._parse(record) for record in self._records.__getitems__(list(indices))]

    def _parse(self, record: bytes) -> Record:
        # The two features, straight from the stored `tf.train.Example`: TFDS's own parser looks at all of
        # them and takes three times as long as decoding a small JPEG.
        features = tf_example_pb2.Example.FromString(record).features.feature
        (image,) = features[self._image].bytes_list.value
        (label,) = features[self._label].int64_list.value
        return Record(image, label)

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"{self.name}[{index}]"

    def places(self) -> Iterator[Hashable]:
        """See `Source.places`."""
        for file, positions in self._parts:
            for position in positions:
                yield file, position


def _builder(
    name: str, folders: list[Path], other_names: tuple[str, ...], *, must_be_prepared: bool = True
) -> Any:
    """The builder from the first folder that holds the set in a readable form."""
    tried = []
    for folder in folders:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints a page on TensorFlow
                builder = tfds.builder(name, data_dir=folder)
        except tfds.core.registered.DatasetNotFoundError as error:
            valid = [*other_names, *tfds.list_builders(with_community_datasets=False)]
            raise UsageError(
                f"unknown data set {name!r}: neither one of {', '.join(other_names)} nor of TFDS."
                f"{did_you_mean(name, valid)}"
            ) from error
        except ImportError as error:
            raise UsageError(
                f"data set {name!r} needs a package that is not installed ({_absent(error)}): pip install it,"
                " or choose another set"
            ) from error
        except (ValueError, AssertionError) as error:  # Unknown config or version of a known set.
            raise UsageError(
                f"data set {name!r} is written as NAME, NAME/CONFIG or NAME/CONFIG:VERSION; TFDS says of it: "
                f"{_reason(error)}"
            ) from error
        tried.append(str(builder.data_path))
        if builder.info.splits:
            _check_format(builder, name)
            return builder
    if not must_be_prepared:
        return builder
    raise UsageError(
        f"data set {name!r} is not prepared: looked in {' and '.join(tried)}; prepare it with "
        f"`python -m chanattn.data.prepare {name}` or set config.dataset.data_dir or $TFDS_DATA_DIR"
    )


def _absent(error: BaseException) -> str:
    """The module that an import wanted: TFDS wraps the error, and the name is lost in that."""
    while isinstance(error.__cause__, ImportError):
        error = error.__cause__
    return getattr(error, "name", None) or str(error)


def _reason(error: BaseException) -> str:
    """What TFDS says, in one line, without the arguments that it was given and the list of all configs."""
    first = str(error).partition("\n")[0].partition(" Here are ")[0]
    return re.sub(r"^Failed to construct dataset .*?}\": ", "", first)[:_LONGEST_REASON]


def _check_format(builder: Any, name: str) -> None:
    if builder.info.file_format.name != "ARRAY_RECORD":
        raise UsageError(
            f"data set {name!r} in {builder.data_path} is stored as "
            f"{builder.info.file_format.value}, which cannot be read at random positions: prepare it "
            f"elsewhere as array_record with `python -m chanattn.data.prepare {name} --data_dir=...`"
        )


def _features(builder: Any) -> tuple[str, str]:
    """Names of the picture and of the class label."""
    features = builder.info.features
    image, label = builder.info.supervised_keys or ("image", "label")
    if not (
        image in features
        and label in features
        and isinstance(features[image], tfds.features.Image)
        and isinstance(features[label], tfds.features.ClassLabel)
        and features[image].shape[-1] in (1, 3)
    ):
        raise UsageError(
            f"data set {builder.name!r} is not one of image classification: it needs a picture and a "
            f"class label, and has {', '.join(features)}"
        )
    return image, label
