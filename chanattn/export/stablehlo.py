"""A whole network as one StableHLO program, which any JAX of the years to come runs without this package.

https://docs.jax.dev/en/latest/export/export.html
"""

import importlib.util
import json

import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.export.program import description, predict
from chanattn.export.trained import Trained
from chanattn.layers import kernels

PROGRAM, CONFIG = "model.stablehlo", "model.json"
_PLATFORMS = ("cpu", "cuda", "tpu")


def files(trained: Trained) -> dict[str, bytes]:
    """The program, `jax.export.deserialize` reads it, and what there is to know of it.

    The program takes any number of images, see `chanattn.export.program.predict`.

    Raises:
        UsageError: The package that writes JAX's programs is not installed.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise UsageError(
            "--format=stablehlo needs flatbuffers, which is not installed: pip install -e '.[export]'"
        )
    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, *trained.image_size, 3), jnp.float32)
    with kernels.chosen("xla"):  # others are no part of StableHLO
        exported = jax.export.export(jax.jit(predict(trained)), platforms=_PLATFORMS)(shape)
    told = description(trained) | {
        "platforms": list(exported.platforms),
        "calling_convention": exported.calling_convention_version,
    }
    text = json.dumps(told, indent=2) + "\n"
    return {PROGRAM: bytes(exported.serialize()), CONFIG: text.encode()}
