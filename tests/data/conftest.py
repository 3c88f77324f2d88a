"""Configs, meshes and image folders for the tests of the data."""

from collections.abc import Callable
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from configs import base


@pytest.fixture
def mesh() -> Mesh:
    """One device; tests with several run in processes of their own."""
    return Mesh(np.array(jax.devices()[:1]), ("data",))


@pytest.fixture
def make_config() -> Callable[..., ConfigDict]:
    """A config of the named set; keywords set fields of `config.dataset`, `batch_size` and `seed`."""

    def make(name: str, batch_size: int = 16, seed: int = 0, **fields) -> ConfigDict:
        config = base.get_config()
        config.batch_size, config.seed = batch_size, seed
        config.dataset.name = name
        config.dataset.update(fields)
        return config

    return make


@pytest.fixture
def picture_folder(tmp_path) -> Path:
    """Splits train (23 pictures) and test (13), 3 classes, 20x24; the brightness tells the pictures apart."""
    for split, count in (("train", 23), ("test", 13)):
        for i in range(count):
            directory = tmp_path / split / f"class{i % 3}"
            directory.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(directory / f"{i:03d}.png"), np.full((20, 24, 3), 5 * i + 3, np.uint8))
    return tmp_path
