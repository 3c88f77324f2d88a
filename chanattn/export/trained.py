"""A trained network, read from its run directory without the data set."""

import os
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.models import Network
from chanattn.paths import to_path
from chanattn.runs.classes import read_classes
from chanattn.runs.layout import CHECKPOINTS
from chanattn.training import mesh as meshes
from chanattn.training import process
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import choose_step, template_of, with_overrides
from chanattn.training.run_directory import command_line, read_config, versions


@dataclass(frozen=True)
class Trained:
    """What an export is made of.

    Attributes:
        config: Of the run.
        model: Its network.
        variables: `params` and, where there are some, `batch_stats`, float32 arrays of numpy.
        class_names: In the order of the labels.
        image_size: Height and width of the pictures that it was trained on.
        made: How: run, step, weights, command, versions; JSON values.
    """

    config: ConfigDict
    model: Network
    variables: dict[str, Any]
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    made: dict[str, Any]


@process.as_before()
def read(
    workdir: str | os.PathLike[str], *, step: int | str | None = None, ema: bool | None = None
) -> Trained:
    """The network of a checkpoint.

    Args:
        workdir: The run directory.
        step: As of `chanattn.training.evaluate.evaluate_run`, as is what follows.
        ema: Whether to take the moving averages of the weights; None: if the run has them.

    Raises:
        UsageError: There is no such run or checkpoint, or it is damaged; or the run does not tell its classes
            or the size of its pictures, and its data set is not there to ask.
    """
    run = to_path(workdir)
    config = with_overrides(read_config(run), {"kernels": "xla", "platform": "cpu"})
    with Checkpoints(run / CHECKPOINTS, read_only=True) as checkpoints:
        step = choose_step(run, checkpoints, step)
        mesh = meshes.setup(config)
        names = read_classes(run)
        size = config.dataset.image_size
        if names is None or not size:
            fields = tasks.create(config.task).fields
            source = data.open_source(config.dataset, config.dataset.eval_split, fields)
            names = source.class_names if names is None else names
            size = size or source.image_shape[:2]
        height, width = (size, size) if isinstance(size, int) else size
        model = tasks.network(config, len(names))
        averaged = config.ema.decay > 0 if ema is None else ema
        template = template_of(model, (height, width, 3), mesh, averaged)
        weights = checkpoints.restore_weights(step, template, ema=averaged)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), jax.device_get(weights))
    made = {
        "run": run.absolute().name,
        "step": step,
        "weights": "ema" if averaged else "raw",
        "command": command_line(),
        "versions": versions(),
    }
    variables = {name: tree for name, tree in variables.items() if tree}
    return Trained(config, model, variables, tuple(names), (int(height), int(width)), made)
