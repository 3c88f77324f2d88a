"""A network with its published weights answers on photographs as the reference implementation does."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import models
from chanattn.interop import from_torch, read_weights, to_torch


@pytest.fixture(scope="module")
def lite0(tfds_dir: Path) -> Path:
    """The folder of EfficientNet-Lite0."""
    folder = tfds_dir.parent / "weights" / "efficientnet_lite0"
    if not folder.is_dir():
        pytest.skip(f"no real data sets in {folder}")
    return folder


def test_lite0_has_the_logits_and_features_of_the_reference(lite0: Path) -> None:
    reference = parity.load(lite0 / "reference_outputs.npz")
    model = models.create("tf_efficientnet_lite0")
    state = read_weights(lite0 / "model.safetensors")
    variables = from_torch(model, state)
    photos = ("chelsea", "coffee", "rocket")
    pixels = np.stack([reference[f"pixels_{photo}"] for photo in photos]).astype(np.float32)
    logits, endpoints = jax.jit(model.apply)(variables, jnp.asarray((pixels / 255 - 0.5) / 0.5))
    for row, photo in zip(logits, photos, strict=True):
        parity.assert_close(row, reference[f"logits_{photo}"], 1e-4, photo)
    for i in range(5):
        every_second = endpoints[f"stage{i + 1}"][0, ::2, ::2]
        parity.assert_close(every_second, reference[f"chelsea_feature{i}"], 1e-4, f"feature {i}")
    back = to_torch(model, variables)
    assert all(np.array_equal(back[name], array) for name, array in state.items())
