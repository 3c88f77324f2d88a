"""What the formats that write a network as a program have in common: the function, and its description."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from chanattn.export.trained import Trained


def predict(trained: Trained) -> Callable[[jax.Array], Any]:
    """Images (N, H, W, 3), float32 in [0, 1], to what the head gives: of a classifier logits (N, classes).

    Outputs with names are a dict, so that a program needs nothing of this package.
    """
    dataset = trained.config.dataset
    mean, std = jnp.asarray(dataset.mean, jnp.float32), jnp.asarray(dataset.std, jnp.float32)

    def outputs(images: jax.Array) -> Any:
        found = trained.model.apply(trained.variables, (images - mean) / std)[0]
        return vars(found) if dataclasses.is_dataclass(found) else found

    return outputs


def description(trained: Trained) -> dict[str, Any]:
    """Inputs, classes and how it was made; JSON values."""
    dataset = trained.config.dataset
    return {
        "inputs": {
            "images": ["batch", *trained.image_size, 3],
            "type": "float32",
            "values": "RGB in [0, 1]; the program subtracts mean and divides by std itself",
        },
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "label_names": list(trained.class_names),
        "chanattn": trained.made | {"model": trained.config.model.to_dict()},
    }
