"""The training of one run, from a config to a summary."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from chanattn import random_streams
from chanattn.paths import to_path
from chanattn.runs.layout import CHECKPOINTS
from chanattn.runs.summary import Summary
from chanattn.training import initial, process
from chanattn.training.agreement import decided
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.experiment import Experiment
from chanattn.training.finetuning import trainable
from chanattn.training.interrupt import Interrupt
from chanattn.training.lock import exclusive
from chanattn.training.mesh import is_primary
from chanattn.training.metrics_log import MetricsLog, check_views, read_scores
from chanattn.training.overview import head
from chanattn.training.progress import Progress
from chanattn.training.record import Record
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import retention
from chanattn.training.run_directory import (
    check_classes,
    check_run,
    finish,
    open_run,
    record_classes,
)
from chanattn.training.state import at_hand, number_of_values
from chanattn.training.under_way import UnderWay
from chanattn.training.validate import validate, with_network_told
from chanattn.training.worker_errors import WorkerErrors

_NOT_COMPARED = (
    "WARNING: this run was begun before the names of its classes were recorded, so they could not be "
    "compared; from now on, those that the data set has today are the run's"
)
_OTHER_NUMBERS = (
    "WARNING: this run was begun by a version that drew other random numbers from its seed; its order, "
    "augmentation and dropout go on with those of this version, so that it will not end as it would have"
)


@process.as_before()
def train_and_evaluate(
    config: ConfigDict,
    workdir: str | Path,
    *,
    allow_config_change: bool = False,
    build: Callable[..., Experiment] | None = None,
) -> dict[str, Any]:
    """Trains, evaluates and saves a run, or continues the one that `workdir` holds.

    A continued run ends with the same numbers as one that was never stopped.

    Args:
        config: as `chanattn.config` declares it.
        workdir: the run directory.
        allow_config_change: continue a run with another config than it was begun with.
        build: in place of `Experiment.build`, such as a `Reuse`, which has runs share what they can.

    Returns:
        What is written to `summary.json`.

    Raises:
        UsageError: the config, the data, the devices or the directory do not fit, and nothing has been
            written; or all checkpoints are damaged, and none has been touched.
        SaveFailed: a checkpoint could not be written; those before it are kept.
        RunFailed: the log, the directory or a thread has failed; what was trained is saved where possible.
        Preempted: SIGTERM, SIGINT or one of their kind arrived (`Interrupt`); every step made is saved.
        NonFinite: the training diverged, and `config.nonfinite` lets it not go on; the last good checkpoint
            is kept.
    """
    workdir = to_path(workdir)
    validate(config)
    config = with_network_told(config)
    # Of several processes the first one does, in `open_run`, once JAX has started.
    if not jax.distributed.is_initialized():
        check_run(workdir, config, allow_config_change=allow_config_change)

    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        workers = stack.enter_context(WorkerErrors())
        experiment = (build or Experiment.build)(config, initial.of_run(workdir))
        stack.enter_context(experiment.train)
        stack.callback(experiment.test.close)
        notes = []
        if not check_classes(workdir, experiment.train.class_names):
            notes.append(_NOT_COMPARED)
        if is_primary():
            check_views(config)
        stack.enter_context(exclusive(workdir))
        summary = _train(
            experiment,
            workdir,
            interrupt,
            workers,
            notes,
            allow_config_change=allow_config_change,
        )
        finish(workdir, summary)
    return summary.to_json()


def _train(
    experiment: Experiment,
    workdir: Path,
    interrupt: Interrupt,
    workers: WorkerErrors,
    notes: list[str],
    *,
    allow_config_change: bool,
) -> Summary:
    """The steps of a run; returns its summary, once all checkpoints are on the disk."""
    config = experiment.config
    with ExitStack() as stack:
        metrics, shape = experiment.task.metrics, experiment.test.stored_shape
        loaded, abstract = experiment.initial, experiment.abstract_state()
        open_run(
            workdir,
            config,
            metrics,
            shape,
            initialisation=None if loaded is None else loaded.record,
            trainable=trainable(abstract.params, config.optimizer.freeze),
            allow_config_change=allow_config_change,
        )
        record_classes(workdir, experiment.train.class_names)
        save_every = experiment.every(config.checkpoint_every)
        checkpoints = Checkpoints(workdir / CHECKPOINTS, retention(config, save_every))
        stack.enter_context(checkpoints)
        restored, damaged = restore_newest(checkpoints, abstract)
        if restored is None:
            step, record, begin = 0, Record(), experiment.begin_state()
        else:
            state, values = restored
            step, record, begin = values["step"], Record.from_progress(values), at_hand(state)
            if values["data"].get("random_streams") != random_streams.VERSION:
                notes = [*notes, _OTHER_NUMBERS]
        record.add_damaged(damaged)
        checkpoints.scores.update(decided(lambda: list(read_scores(workdir, step).items())))
        parameters = number_of_values(abstract.params)
        log = MetricsLog(workdir, config, step, evaluated=record.evaluated_step == step)
        stack.callback(log.close)
        progress = stack.enter_context(
            Progress(experiment.total_steps, step, config.batch_size, enabled=is_primary())
        )
        for line in [*head(experiment, abstract, step, checkpoints.directory, damaged), *notes]:
            progress.note(line)
        saved_step = None if restored is None else step
        run = UnderWay(
            experiment, checkpoints, record, log, progress, interrupt, workers, step, saved_step
        )
        record = run.train(begin)
    return record.summary(
        steps=experiment.total_steps,
        batch_size=config.batch_size,
        parameters=parameters,
        metrics=metrics,
    )
