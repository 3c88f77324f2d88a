"""A training step without the loop around it: the step of `train.py`, fed with one batch for ever."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from chanattn.data import Batch
from chanattn.training.experiment import Experiment
from chanattn.training.mesh import setup
from chanattn.training.state import TrainState
from chanattn.training.step import make_train_step
from configs import base


def first_batch(experiment: Experiment) -> Batch:
    """The augmented, normalised batch of step 0, on the devices."""
    feed = next(experiment.train.feeds(0))
    return jax.jit(experiment.train.prepare)(feed, np.int32(0), jax.random.key(0))


def bare_step(experiment: Experiment) -> Any:
    """The jitted step `(state, batch) -> (state, window)` on a batch that needs no preparation."""
    return make_train_step(
        experiment.model,
        experiment.optimizer,
        experiment.schedule,
        experiment.task,
        lambda batch, step, key: batch,
        mesh=experiment.mesh,
        seed=experiment.config.seed,
        accumulate=experiment.config.accumulate,
        ema_decay=experiment.config.ema.decay,
        log_every=experiment.every(experiment.config.log_every),
    )


def run(
    step: Callable[[TrainState, Any], Any], state: TrainState, feed: Any, steps: int
) -> TrainState:
    """Makes `steps` steps on one feed, and returns when the last one is done."""
    for _ in range(steps):
        state, _ = step(state, feed)
    jax.block_until_ready(state)
    return state


def one_device() -> None:
    """Starts JAX as the training loop does, on one device."""
    config = base.get_config()
    config.cpu_devices = config.batch_size = 1
    setup(config)
