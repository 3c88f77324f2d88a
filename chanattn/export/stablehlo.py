"""A whole network as one StableHLO program, which any JAX of the years to come runs without this package.

https://docs.jax.dev/en/latest/export/export.html
"""

import importlib.util
import json

import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.export.trained import Trained
from chanattn.layers import kernels

PROGRAM, CONFIG = "model.stablehlo", "model.json"
_PLATFORMS = ("cpu", "cuda", "tpu")


def files(trained: Trained) -> dict[str, bytes]:
    """The program, `jax.export.deserialize` reads it, and what there is to know of it.

    The program takes images (N, H, W, 3), float32 in [0, 1], any N of them, and returns what the head gives,
    for a classifier logits (N, classes).

    Raises:
        UsageError: The package that writes JAX's programs is not installed.
    """
    dataset = trained.config.dataset
    mean, std = jnp.asarray(dataset.mean, jnp.float32), jnp.asarray(dataset.std, jnp.float32)

    @jax.jit
    def predict(images: jax.Array) -> object:
        outputs, _ = trained.model.apply(trained.variables, (images - mean) / std)
        return outputs

    if importlib.util.find_spec("flatbuffers") is None:
        raise UsageError(
            "--format=stablehlo needs flatbuffers, which is not installed: pip install -e '.[export]'"
        )
    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, *trained.image_size, 3), jnp.float32)
    with kernels.chosen("xla"):  # others are no part of StableHLO
        exported = jax.export.export(predict, platforms=_PLATFORMS)(shape)
    description = {
        "inputs": {
            "images": ["batch", *trained.image_size, 3],
            "type": "float32",
            "values": "RGB in [0, 1]; the program subtracts mean and divides by std itself",
        },
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "label_names": list(trained.class_names),
        "platforms": list(exported.platforms),
        "calling_convention": exported.calling_convention_version,
        "chanattn": trained.made | {"model": trained.config.model.to_dict()},
    }
    text = json.dumps(description, indent=2) + "\n"
    return {PROGRAM: bytes(exported.serialize()), CONFIG: text.encode()}
