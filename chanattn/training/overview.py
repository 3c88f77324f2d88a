"""What a run prints before it begins."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chanattn.errors import DamagedCheckpoint, visible
from chanattn.training import finetuning
from chanattn.training.experiment import Experiment
from chanattn.training.initial import Initial
from chanattn.training.mesh import describe
from chanattn.training.state import TrainState, number_of_values

PyTree = Any


def parameter_lines(params: PyTree) -> Iterator[str]:
    """A table: one line a top-level module with its number of parameters and their share, then the total."""
    total = number_of_values(params)
    width = max(map(len, (*params, "total")))
    for name, tree in params.items():
        number = number_of_values(tree)
        yield f"  {name:<{width}} {number:>12,} {number / total:>6.1%}"
    yield f"  {'total':<{width}} {total:>12,}"


def _initial_lines(begin: Initial, step: int) -> Iterator[str]:
    """What the run begins with; of one that goes on, where that was."""
    if begin.record is None:
        yield "WARNING: model.init has loaded nothing: this run began without it, or does not tell"
    elif step:
        yield visible(f"begun with model.init={begin.record.source}")
    else:
        yield from map(visible, begin.record.lines())


def head(
    experiment: Experiment,
    state: TrainState,
    step: int,
    checkpoints: Path,
    damaged: Sequence[DamagedCheckpoint],
) -> list[str]:
    """Lines that say what is about to be trained, and from where.

    Args:
        experiment: what is trained.
        state: abstract will do: the parameters are counted.
        step: that the training begins at.
        checkpoints: the folder of the run's checkpoints.
        damaged: those that were set aside.
    """
    config, train = experiment.config, experiment.train
    lines = describe(experiment.mesh)
    lines.append(
        f"{config.dataset.name}: {train.num_examples:,} training and {experiment.test.num_examples:,} "
        f"evaluation images, {train.num_classes} classes"
    )
    sources = {
        config.dataset.split: train.source,
        config.dataset.eval_split: experiment.test.source,
    }
    lines.extend(
        visible(f"{name}: {source.note}") for name, source in sources.items() if source.note
    )
    lines.append(f"{config.model.name} with {config.model.attention.name}, parameters:")
    lines.extend(parameter_lines(state.params))
    begin = experiment.initial
    lines.extend(
        finetuning.lines(state.params, config.optimizer, () if begin is None else begin.new)
    )
    if begin is not None:
        lines.extend(_initial_lines(begin, step))
    lines.extend(
        f"WARNING: the checkpoint of step {error.step} is damaged ({error.reason}); it was set aside as "
        f"damaged-{error.step}"
        for error in damaged
    )
    if step:
        done = step == experiment.total_steps
        what = "this run is done: it stands at" if done else "continuing from"
        lines.append(f"{what} step {step} of {checkpoints}")
    return lines
