"""Prepares data sets of TFDS as array_record files, which are then read without TensorFlow.

    python -m chanattn.data.prepare cifar10 --data_dir=~/tensorflow_datasets

CIFAR and MNIST are written from their official archives without TensorFlow; every other set goes through
TFDS's own code, which needs it (`pip install -e '.[prepare]'`).
"""

import os
from pathlib import Path

import tensorflow_datasets as tfds

from chanattn.data.prepare import with_tensorflow, without_tensorflow
from chanattn.data.sources import SOURCES
from chanattn.data.sources.tfds_sets import data_dirs
from chanattn.errors import UsageError, did_you_mean
from chanattn.paths import to_path

__all__ = ["prepare"]


def prepare(
    name: str, data_dir: str | os.PathLike[str] = "", archive: str | os.PathLike[str] = ""
) -> Path:
    """Writes a data set to `data_dir/name/version` unless it is there already.

    Args:
        name: As in `config.dataset.name`.
        data_dir: Default $TFDS_DATA_DIR, else `~/tensorflow_datasets`.
        archive: What has been downloaded by hand: the archive of a CIFAR set; else the folder with the files.

    Returns:
        The folder of the prepared set. It appears complete or not at all.

    Raises:
        UsageError: Unknown set, failed or damaged download, unwritable folder, TensorFlow absent.
    """
    if name in SOURCES:
        raise UsageError(f"data set {name!r} needs no preparation")
    try:
        builder_class = tfds.builder_cls(name)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:  # no name at all
        valid = tfds.list_builders(with_community_datasets=False)
        raise UsageError(f"TFDS has no data set {name!r}.{did_you_mean(name, valid)}") from error
    folder = data_dirs(data_dir)[0]
    source = to_path(archive) if archive else None
    if source and not source.exists():
        raise UsageError(f"no file or folder {source}: --archive names what has been downloaded")
    try:
        if builder_class.name in without_tensorflow.FORMATS:
            return without_tensorflow.prepare(builder_class, folder, source)
        return with_tensorflow.prepare(name, folder, source)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}; choose another --data_dir"
        ) from error
