"""The inspection of a run directory: its network, its evaluation split, its task."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn import data, tasks
from chanattn.data.captions import FIELD as CAPTIONS
from chanattn.data.captions import TOKENS
from chanattn.data.source import Shuffled
from chanattn.errors import UsageError
from chanattn.inspect.inspection import DEFAULT, Effort, Progress, inspection
from chanattn.inspect.network import Batch, Network
from chanattn.inspect.of_task import classes_of, score_of, words_of
from chanattn.layers import kernels
from chanattn.paths import to_path
from chanattn.runs.classes import read_classes
from chanattn.runs.inspection import Inspection
from chanattn.runs.layout import CHECKPOINTS, INDEX, RUNS
from chanattn.runs.run import Run
from chanattn.training import mesh as meshes
from chanattn.training import process
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import choose_step, conditions, restored, with_overrides
from chanattn.training.run_directory import read_config, versions

_GREY = 1  # channels


@dataclasses.dataclass(frozen=True)
class Inspected:
    """An inspection, and where its pictures are.

    Attributes:
        inspection: what has been found.
        json: the file that it was written to.
        source: of the pictures, by the numbers that the inspection calls them by.
    """

    inspection: Inspection
    json: Path
    source: data.source.Source


@process.as_before()
def inspect_run(
    workdir: str | os.PathLike[str],
    *,
    step: int | str | None = None,
    ema: bool | None = None,
    effort: Effort = DEFAULT,
    progress: Progress = lambda done, total: None,
    **overrides: Any,
) -> Inspected:
    """Inspects a checkpoint of the run in `workdir`, and writes `RUN/inspection/inspection.json`.

    Args:
        workdir: the run directory.
        step: as of `chanattn.training.evaluate.evaluate_run`, as are `ema` and `overrides`.
        ema: whether to take the moving averages of the weights; None: if the run has them.
        effort: how much is measured.
        progress: told now and then.
        **overrides: config fields to change by their dotted path.

    Raises:
        UsageError: there is no such run, checkpoint or split, the network has no weights to look at, or the
            inspection cannot be written.
    """
    run = to_path(workdir)
    trained = read_config(run)
    config = with_overrides(trained, overrides)
    started = time.perf_counter()
    task = tasks.create(config.task)
    with Checkpoints(run / CHECKPOINTS, read_only=True) as checkpoints:
        step = choose_step(run, checkpoints, step)
        mesh = meshes.setup(config)
        examples = data.evaluation(
            config,
            mesh,
            fields=task.fields,
            whereabouts=task.scored_as_stored,
            words=read_classes(run) or (),
            order_seed=effort.seed,
        )
        shuffled: Any = examples.source
        assert isinstance(shuffled, Shuffled)
        model = tasks.network(config, examples.num_classes)
        weights, kind = restored(checkpoints, step, trained, ema, model, examples.image_shape, mesh)
    prepare = jax.jit(examples.prepare)

    def batches() -> Iterator[Batch]:
        for feed in examples.feeds():
            batch = prepare(feed)
            places = shuffled.order[np.asarray(batch["index"])]  # of padding anything
            # The network is told the words of the first caption, as when its loss is measured.
            told = {TOKENS: batch[CAPTIONS][:, 0]} if CAPTIONS in task.fields else {}
            yield {**batch, **told, "index": places}

    classes, shown = classes_of(task, examples.class_names)
    classified = classes.exclusive and len(classes.names) > 0
    colourful = examples.stored_shape[2] != _GREY and CAPTIONS not in task.fields
    with contextlib.closing(examples), kernels.chosen(config.kernels):
        found = inspection(
            Network(model, lambda batch: task.inputs(dict(batch))),
            weights,
            batches,
            classes,
            score=score_of(task, examples.class_names),
            shown=shown,
            probabilities=jax.nn.softmax if classified else None,
            painted=_painter(examples) if colourful else None,
            words=words_of(task, examples.class_names),
            effort=effort,
            progress=progress,
        )
    made = {
        "run": str(run),
        "name": run.absolute().name,
        "step": step,
        "weights": kind,
        "dataset": config.dataset.name,
        "split": config.dataset.eval_split,
        "model": config.model.name,
        "attention": config.model.attention.name,
        "task": config.task.name,
        "pictures_in_colour": colourful,
        "static_twin": static_twin(run),
    }
    how = conditions(config, mesh) | {
        "effort": dataclasses.asdict(effort),
        "versions": versions(),
        "seconds": time.perf_counter() - started,
    }
    result = Inspection(made | found | {"how": how})
    try:
        path = result.write(run)
    except OSError as error:
        raise UsageError(
            f"cannot write to {run}: {error.strerror}; free the place or its permissions"
        ) from error
    return Inspected(result, path, shuffled.source)


def _painter(examples: data.EvaluationData) -> Callable[[np.ndarray], Batch]:
    """Makes of colours (G, 3) in [0, 1] a batch of pictures of one colour each."""

    def painted(colours: np.ndarray) -> Batch:
        height, width, _ = examples.image_shape
        flat = np.round(255 * colours).astype(np.uint8)[:, None, None]
        feed = {
            "image": jnp.asarray(np.broadcast_to(flat, (len(colours), height, width, 3))),
            "mask": jnp.ones(len(colours)),
        }
        return examples.prepare(feed)

    return painted


def static_twin(run: Path) -> dict[str, Any] | None:
    """What the same network with attention `static` has achieved in the same sweep, with the same seed.

    Such a network has learnt one weight a channel, whatever the picture. A network whose weights are replaced
    by their mean was not trained for it, and may lose more than what a network loses that never saw an input.
    None where the run is of no sweep, or the sweep has no such run that is done.
    """
    here = run.absolute()
    sweep = here.parent.parent.parent
    if not (sweep / INDEX).is_file():
        return None
    own = Run.read(here.parent.name, 0, here).fields()
    for folder in sorted((sweep / RUNS).glob(f"*/{here.name}")):
        twin = Run.read(folder.parent.name, 0, folder)
        fields = twin.fields()
        differing = {path for path in own | fields if own.get(path) != fields.get(path)}
        alike = all(path.startswith("model.attention.") for path in differing)
        if fields.get("model.attention.name") != "static" or not alike or folder == here:
            continue
        metric = twin.metrics[0].name
        for split, name in twin.finals():
            if name == metric:
                value = twin.final(split, name)
                return {"run": str(folder), "metric": metric, "split": split, "value": value}
    return None
