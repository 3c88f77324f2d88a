"""How long to train, and the learning rate at every step of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from chanattn.errors import UsageError

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


def total_steps(config: ConfigDict, steps_per_epoch: int, batch_size: int) -> int:
    """Optimizer steps of the whole training, from `steps`, `epochs` or `examples`.

    Args:
        config: the whole config; exactly one of the three lengths is positive.
        steps_per_epoch: full batches in the training split.
        batch_size: images a step.

    Raises:
        UsageError: the length is less than one step.
    """
    if config.steps:
        return config.steps
    if config.epochs:
        length, steps = f"epochs={config.epochs}", round(config.epochs * steps_per_epoch)
    else:
        length, steps = f"examples={config.examples}", config.examples // batch_size
    if steps < 1:
        raise UsageError(
            f"config.{length} is less than one step of {batch_size} images; train longer or in smaller "
            "batches."
        )
    return steps


def warmup_steps(config: ConfigDict, steps_per_epoch: int) -> int:
    """Steps of the linear warm-up, from `schedule.warmup_steps` or `schedule.warmup_epochs`."""
    return config.schedule.warmup_steps or round(config.schedule.warmup_epochs * steps_per_epoch)


def make_schedule(config: ConfigDict, total_steps: int, steps_per_epoch: int) -> Schedule:
    """The learning rate as a function of the number t of steps already made.

    With W warm-up steps of T in all, `peak * (t + 1) / W` while t < W; then, with u = (t - W) / (T - W):

    * cosine: `end + (1 - end) * (1 + cos(pi u)) / 2` (https://arxiv.org/abs/1608.03983)
    * polynomial: `end + (1 - end) * (1 - u) ** power`
    * step: `factor ** (number of boundaries b with t >= b T)`
    * constant: 1

    each times the peak.

    Raises:
        UsageError: the warm-up is longer than the training.
    """
    settings, peak = config.schedule, config.optimizer.learning_rate
    warmup = warmup_steps(config, steps_per_epoch)
    if warmup > total_steps:
        raise UsageError(
            f"the warm-up of {warmup} steps is longer than the training of {total_steps}; shorten it "
            "(schedule.warmup_epochs, schedule.warmup_steps) or train longer."
        )
    shapes: dict[str, Schedule] = {
        "cosine": lambda u: _between(settings.end_factor, (1 + jnp.cos(jnp.pi * u)) / 2),
        "polynomial": lambda u: _between(settings.end_factor, (1 - u) ** settings.power),
        "constant": jnp.ones_like,
    }

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        t = jnp.asarray(step, jnp.float32)
        if settings.name == "step":
            drops = sum(
                (t >= round(b * total_steps)).astype(jnp.float32) for b in settings.boundaries
            )
            decay = settings.factor ** jnp.asarray(drops, jnp.float32)
        else:
            progress = (t - warmup) / max(1, total_steps - warmup)
            decay = shapes[settings.name](jnp.clip(progress, 0.0, 1.0))
        rising = (t + 1) / max(1, warmup)
        return peak * jnp.where(t < warmup, rising, decay)

    return schedule


def _between(end: float, share: jax.Array) -> jax.Array:
    return end + (1 - end) * share
