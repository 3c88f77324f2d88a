"""Evaluates a run directory: one checkpoint on one split, every example counted once."""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.class_names import difference
from chanattn.data.placement import replicated
from chanattn.errors import UsageError
from chanattn.files import write_bytes
from chanattn.layers import kernels
from chanattn.paths import to_path
from chanattn.runs import metric as metrics_of_runs
from chanattn.runs.classes import read_classes
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.layout import CHECKPOINTS, CLASSES, EVALUATION
from chanattn.runs.run import metrics_of
from chanattn.training import mesh as meshes
from chanattn.training import process
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.config import changed_fields, flatten
from chanattn.training.evaluator import Evaluator
from chanattn.training.metrics_log import read_scores
from chanattn.training.retention import ranked
from chanattn.training.run_directory import check_parts, command_line, read_config
from chanattn.training.state import Weights
from chanattn.training.validate import validate, with_network_told
from chanattn.training.views import Views

_LONGEST_NAME = 200  # file systems take 255 bytes
_TOLD = ("dataset.name", "dataset.eval_split")  # by the name of an evaluation


@process.as_before()
def evaluate_run(
    workdir: str | os.PathLike[str],
    *,
    step: int | str | None = None,
    ema: bool | None = None,
    views: Views | None = None,
    baselines: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Evaluates a checkpoint of the run in `workdir`.

    Writes `RUN/evaluation/<name>.json`; the name tells the data set, the split, the step and the weights, and
    whatever else is changed by a hash (`file_name`). `chanattn.report.run_pictures` draws it. Beside it lies
    what the task exports (`Task.exports`).

    Args:
        workdir: the run directory.
        step: of the checkpoint; "best": of the best value of the task's first metric at the run's own
            evaluations (of the averaged weights where it has them); None: the newest.
        ema: whether to take the moving averages of the weights; None: if the run has them.
        views: of every picture, whose answers are averaged; None: the whole picture.
        baselines: whether to evaluate guesses from the training split too (`Task.baselines`).
        **overrides: config fields to change by their dotted path, such as `{"dataset.name": "cifar10_1"}`.

    Returns:
        What is written to the JSON file, with its path as `json`, and those of exported files as `exports`.

    Raises:
        UsageError: there is no such run, checkpoint or split, the checkpoint is damaged, or its classes are
            others.
    """
    run = to_path(workdir)
    trained = read_config(run)
    config = with_overrides(trained, overrides)
    views = views or Views()
    task = tasks.create(config.task)
    views.check(task)
    if "[" in trained.dataset.split:
        check_parts(run, config, config.dataset.eval_split)
    with Checkpoints(run / CHECKPOINTS, read_only=True) as checkpoints:
        step = choose_step(run, checkpoints, step)
        mesh = meshes.setup(config)
        if baselines and type(task).baselines is tasks.Task.baselines:
            raise UsageError(
                f"--baselines is for tasks that know guesses to compare with, not for {config.task.name}"
            )
        opened = functools.partial(
            data.evaluation,
            config,
            mesh,
            fields=task.fields,
            whereabouts=task.scored_as_stored,
            words=read_classes(run) or (),
        )
        examples = opened()
        compared = _check_classes(run, trained, config, examples.class_names)
        model = tasks.network(config, examples.num_classes)
        weights, kind = restored(checkpoints, step, trained, ema, model, examples.image_shape, mesh)
    name = f"{config.dataset.name}-{config.dataset.eval_split}-step{step}-{kind}{views.name()}"
    changes = changed_fields(with_overrides(trained, {}), config)
    untold = {path: new for path, (_, new) in changes.items() if path not in _TOLD}
    found, exports = measured(
        config,
        mesh,
        model,
        weights,
        examples,
        views,
        opened(config.dataset.split) if baselines else None,
    )
    result = {
        "run": str(run),
        "step": step,
        "weights": kind,
        "classes_compared": compared,
        **found,
    }
    return write_result(run / EVALUATION, file_name(name, untold), result, exports)


def restored(
    checkpoints: Checkpoints,
    step: int,
    trained: ConfigDict,
    ema: bool | None,
    model: nn.Module,
    image_shape: tuple[int, int, int],
    mesh: Mesh,
) -> tuple[Weights, str]:
    """Weights of a checkpoint on the devices, and their kind: "ema" or "raw"; see `evaluate_run`."""
    averaged = trained.ema.decay > 0 if ema is None else ema
    template = template_of(model, image_shape, mesh, averaged)
    weights = checkpoints.restore_weights(step, template, ema=averaged)
    return weights, "ema" if averaged else "raw"


def measured(
    config: ConfigDict,
    mesh: Mesh,
    model: nn.Module,
    weights: Weights,
    examples: Any,
    views: Views,
    trained_on: Any = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What weights achieve on all examples, and how that was found out; and what the task exports.

    Args:
        config: of the evaluation.
        mesh: the devices.
        model: the network.
        weights: of it.
        examples: `data.evaluation(...)`, which is closed.
        views: of every picture.
        trained_on: the training split as `examples`, for what guesses from it achieve; None: nobody asks.

    Returns:
        JSON values; and contents of files by the end of their names.
    """
    with contextlib.closing(examples):  # ends its workers
        task = tasks.create(config.task)
        evaluate = Evaluator(model, task, examples, mesh, answers=True, views=views)
        found = evaluate(weights)
        assert found is not None
        exports = task.exports(_by_picture(evaluate.collected, examples), examples.class_names)
    if trained_on is not None:
        with contextlib.closing(trained_on):
            known = Evaluator(model, task, trained_on, mesh, answers=True)
            known(weights)
        assert evaluate.collected is not None
        assert known.collected is not None
        found["baselines"] = task.baselines(evaluate.collected, known.collected)
    result = {
        "dataset": config.dataset.name,
        "split": config.dataset.eval_split,
        "class_names": list(examples.class_names),
        "metrics": metrics_of_runs.to_list(task.metrics),
        "details": metrics_of_runs.to_list(task.details),
        **found,
        "corrupt_examples": examples.num_corrupt,
        "images_per_second": found["examples"] / evaluate.seconds,
        "how": conditions(config, mesh)
        | views.changes()
        | {
            "seconds": evaluate.seconds,
            "timed": "reading, preparing and predicting the whole split; compilation left out",
        },
    }
    return result, exports


def _by_picture(
    answers: tasks.Answers | None, examples: Any
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The name of each picture, and the answers on it."""
    assert answers is not None
    for row in zip(*answers.values(), strict=True):
        answer = dict(zip(answers, row, strict=True))
        yield examples.source.describe(int(answer["index"])), answer


def conditions(config: ConfigDict, mesh: Mesh) -> dict[str, Any]:
    """How answers were computed; JSON values."""
    return {
        "command": command_line(),
        "batch_size": config.batch_size,
        "precision": config.precision,
        "kernels": kernels.current(),
        "devices": [device.device_kind for device in mesh.devices.flat],
        "jax": jax.__version__,
    }


def file_name(readable: str, untold: Mapping[str, Any]) -> str:
    """A name for a file, another one for everything else that it might be of.

    Args:
        readable: what is to be read in the name. What does not belong into the name of a file is replaced.
        untold: what distinguishes the file beside that; JSON values.

    Returns:
        The readable part, with a hash of the whole behind it if there is more to tell than that shows.
    """
    plain = re.sub(r"[^a-z0-9_.-]+", "_", readable.lower())[:_LONGEST_NAME]
    if plain == readable and not untold:
        return plain
    whole = json.dumps([readable, untold], sort_keys=True)
    return f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def write_result(
    folder: Path, name: str, result: dict[str, Any], exports: Mapping[str, bytes]
) -> dict[str, Any]:
    """Writes an evaluation.

    Args:
        folder: made if absent.
        name: of the file, without a suffix.
        result: JSON values, see `chanattn.runs.evaluation`.
        exports: further files, by the end of their names.

    Returns:
        What was written, with the path of the file as `json`, and those of further ones as `exports`.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / f"{name}.json"
    evaluation = Evaluation.from_json(result)
    files = {folder / f"{name}{ending}": content for ending, content in exports.items()}
    try:
        evaluation.write(path)
        for file, content in files.items():
            write_bytes(file, content)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}; free the place or its permissions"
        ) from error
    written = {"exports": list(map(str, files))} if files else {}
    return evaluation.to_json() | {"json": str(path)} | written


def with_overrides(trained: ConfigDict, overrides: dict[str, Any]) -> ConfigDict:
    """A config, changed for the evaluation and checked."""
    validate(trained)
    config = trained.copy_and_resolve_references()
    # The whole batch at once, over as many devices as divide it: neither changes an answer.
    changes = {"accumulate": 1, "cpu_devices": 0, "kernels": "auto"} | overrides
    fields = flatten(config)
    for path, value in changes.items():
        if path not in fields:
            raise UsageError(f"unknown config field {path}")
        group, _, name = path.rpartition(".")
        (config[group] if group else config)[name] = value
    validate(config)
    return with_network_told(config)


def choose_step(run: Path, checkpoints: Checkpoints, step: int | str | None) -> int:
    """The step asked for. A damaged newest checkpoint is not passed over: reading it will name it."""
    steps = checkpoints.steps_on_disk()
    if not steps:
        raise UsageError(f"there is no checkpoint in {checkpoints.directory}; train the run first")
    if step is None:
        return steps[-1]
    if isinstance(step, str):
        return _best_step(run, steps)
    if step not in steps:
        raise UsageError(
            f"there is no checkpoint of step {step}; there are: {', '.join(map(str, steps))}"
        )
    return step


def _best_step(run: Path, steps: list[int]) -> int:
    """The step with the best result among those kept, if the run was told to keep it."""
    scores, metric = read_scores(run), metrics_of(run)[0]
    there, all_steps = ranked(steps, scores), ranked(list(scores), scores)
    if not all_steps:
        raise UsageError(
            f"no evaluation of {run} has measured {metric.name}, so there is no best step; leave the step out"
        )
    best = all_steps[0]
    if there and (best in there or read_config(run).checkpoint.keep_best):
        return there[0]  # a run killed between an evaluation and its saving makes both again
    value = metric.shown(metric.score(scores[best]))
    raise UsageError(
        f"step {best} was the best ({value}), and its checkpoint was not kept: train with "
        "--config.checkpoint.keep_best=1, or choose one of the steps " + ", ".join(map(str, steps))
    )


def _check_classes(
    run: Path, trained: ConfigDict, config: ConfigDict, names: tuple[str, ...]
) -> bool:
    """Refuses data without the classes that the network was trained on, in the same order.

    Returns:
        False if the run does not tell its classes, nor does the data set that it was trained on.
    """
    ours, theirs = config.dataset, trained.dataset
    own = read_classes(run)
    if own is None:  # begun by an older version: its data set may tell
        if ours.name == theirs.name and (
            ours.eval_split == theirs.eval_split or ours.data_dir != theirs.data_dir
        ):
            return False  # the same, or moved to another place
        own = data.open_source(theirs, theirs.eval_split).class_names
    wrong = difference(own, names)
    if wrong:
        raise UsageError(
            f"{ours.name} {ours.eval_split} has other classes than the run was trained on ({wrong}); evaluate"
            f" on data that has these. If they were only renamed, write the new names into {run / CLASSES}"
        )
    return True


def template_of(
    model: nn.Module, image_shape: tuple[int, int, int], mesh: Mesh, averaged: bool
) -> Weights:
    """Shapes, types and placement of the weights; moving averages are float32."""
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image_shape)))
    weights = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape,
            jnp.float32 if averaged else leaf.dtype,
            sharding=replicated(mesh),
        ),
        weights,
    )
