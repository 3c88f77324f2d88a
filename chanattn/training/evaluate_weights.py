"""Evaluates weights that were trained elsewhere: a file of PyTorch parameters, without a run directory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.errors import UsageError
from chanattn.interop import (
    check_architecture,
    different_preparation,
    from_torch,
    hub_config,
    read_weights,
)
from chanattn.models import Network
from chanattn.streams import say
from chanattn.training import mesh as meshes
from chanattn.training import process
from chanattn.training.evaluate import (
    file_name,
    measured,
    template_of,
    with_overrides,
    write_result,
)
from chanattn.training.space import check_writable
from chanattn.training.state import Weights
from chanattn.training.views import Views

WEIGHTS = "model.safetensors"
"""In a hub's folder."""


@process.as_before()
def evaluate_weights(
    config: ConfigDict,
    file: str | os.PathLike[str],
    *,
    allow_pickle: bool = False,
    output: str | os.PathLike[str] | None = None,
    views: Views | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Evaluates imported weights on `config.dataset.eval_split`.

    Args:
        config: its data set and network; of the training nothing matters.
        file: as `chanattn.interop.read_weights` takes it, with the names of timm or of the authors.
        allow_pickle: read a pickle too.
        output: folder for `<name>.json` and `<name>.png`; None: nothing is written.
        views: as in `chanattn.training.evaluate.evaluate_run`.
        **overrides: config fields to change by their dotted path.

    Returns:
        As `chanattn.training.evaluate.evaluate_run`, with `file` in place of run and step.

    Raises:
        UsageError: the config, the data, the file or the folder cannot be used, the weights are not those of
            the config's network, or some are not finite.
    """
    config = with_overrides(config, overrides)
    views = views or Views()
    task = tasks.create(config.task)
    views.check(task)
    if output is not None:
        check_writable(Path(output), "--output")
    state = read_state(file, allow_pickle)
    mesh = meshes.setup(config)
    examples = data.evaluation(config, mesh, fields=task.fields, whereabouts=task.scored_as_stored)
    model = tasks.network(config, examples.num_classes)
    check_hub(config, file, model)
    weights = imported(model, state, examples.image_shape, mesh)
    found, exports = measured(config, mesh, model, weights, examples, views)
    result = {
        "file": str(file),
        "model": config.model.name,
        "attention": config.model.attention.name,
        "weights": "imported",
        "classes_compared": False,
        **found,
    }
    if output is None:
        return result
    stem = Path(file).stem
    untold = {"file": str(Path(file).absolute()), "config": config.to_dict()}
    name = file_name(
        f"{config.dataset.name}-{config.dataset.eval_split}-{stem}{views.name()}", untold
    )
    return write_result(Path(output), name, result, exports)


def read_state(file: str | os.PathLike[str], allow_pickle: bool) -> dict[str, np.ndarray]:
    """The arrays of a file, or of that of a hub's folder, all of them finite; see `evaluate_weights`."""
    inside = Path(file) / WEIGHTS
    state = read_weights(inside if inside.is_file() else file, allow_pickle)
    for name, array in state.items():
        # As float32, in which they are used: what is beyond its range is infinite there.
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(array).astype(np.float32)).all()
        if not finite:
            raise UsageError(
                f"{file} holds numbers that are not finite, in {name!r}: it is damaged"
            )
    return state


def check_hub(config: ConfigDict, file: str | os.PathLike[str], model: Network) -> None:
    """Compares the hub's `config.json` beside a file of weights, if there is one, with the network.

    Pictures that are prepared otherwise than the weights were trained for are only warned of.

    Raises:
        UsageError: the weights are of another network, even where the arrays fit.
    """
    hub, dataset = hub_config(file), config.dataset
    check_architecture(hub, model)
    crop = dataset.augment.eval_crop
    for line in different_preparation(hub, mean=dataset.mean, std=dataset.std, crop_pct=crop):
        say(f"warning: {line}")


def imported(
    model: nn.Module,
    state: Mapping[str, np.ndarray],
    image_shape: tuple[int, int, int],
    mesh: Mesh,
) -> Weights:
    """The arrays of a file as weights of a network, on its devices.

    Raises:
        UsageError: the network has another head than a classifier, which no such file holds; or as
            `from_torch`.
    """
    if isinstance(model, Network) and model.head != "classifier":
        raise UsageError(
            f"a PyTorch file has no weights of the head {model.head!r}: begin a training with"
            " config.model.init=FILE, and take its run directory in place of --weights"
        )
    variables = from_torch(model, state, image_size=image_shape[:2])
    return jax.tree.map(
        lambda wanted, value: jax.device_put(np.asarray(value, wanted.dtype), wanted.sharding),
        template_of(model, image_shape, mesh, averaged=False),
        {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})},
    )
