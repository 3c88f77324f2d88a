"""Prepares any other set through TFDS's own code, which needs TensorFlow."""

import importlib.util
from pathlib import Path

import tensorflow_datasets as tfds

from chanattn.errors import UsageError


def prepare(name: str, data_dir: Path, manual_dir: Path | None) -> Path:
    """Lets TFDS download and write a set; see `chanattn.data.prepare.prepare`.

    TFDS writes to a folder of another name and renames it at the end; finished downloads are kept in
    `data_dir/downloads`, so that a second attempt goes on where the first ended.

    Args:
        name: TFDS's name.
        data_dir: Where to write.
        manual_dir: Files that TFDS cannot download itself, such as ImageNet's.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError(
            f"preparing {name!r} needs TensorFlow (reading it afterwards does not): "
            "pip install -e '.[prepare]'"
        )
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    manual_dir = manual_dir or data_dir / "downloads" / "manual"
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if instructions and not (manual_dir.is_dir() and any(manual_dir.iterdir())):
        raise UsageError(
            f"{name!r} has to be downloaded by hand into {manual_dir} (or pass its folder with "
            "--archive=PATH): "
            f"{' '.join(instructions.split())}"
        )
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_path)
