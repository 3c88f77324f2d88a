"""One step of training: a pure function, jitted once."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from chanattn import random_streams
from chanattn.batch import Batch, Pair
from chanattn.data.placement import batch_sharding
from chanattn.layers import kernels
from chanattn.layers.norm import FROZEN
from chanattn.tasks import Task, auxiliary
from chanattn.training import finetuning
from chanattn.training.schedule import Schedule
from chanattn.training.state import (
    TrainState,
    Weights,
    Window,
    add_totals,
    of_batch,
    with_statistics,
    zero_totals,
)
from chanattn.training.step_program import StepProgram

PyTree = Any
Prepare = Callable[[PyTree, jax.Array, jax.Array], Batch]
_SMALL = 2**16  # values of an array whose copy takes no time to speak of


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    schedule: Schedule,
    task: Task,
    prepare: Prepare,
    *,
    mesh: Mesh,
    seed: int,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    log_every: int = 1,
    skip_nonfinite: bool = False,
    freeze: Sequence[str] = (),
    repeats: bool = False,
) -> StepProgram:
    """The jitted training step `(state, feed) -> (state, window)`; it consumes (donates) the state.

    All randomness is a function of `(seed, state.step)`.

    Args:
        model: called as `apply(variables, image, train=True)`, returns `(outputs, endpoints)`.
        optimizer: see `make_optimizer`.
        schedule: the optimizer's learning rate, to report it.
        task: loss and metrics.
        prepare: `(feed, step, key) -> batch`, traced inside the step.
        mesh: devices; the batch is split over them, the state is copied to each.
        seed: of the run.
        accumulate: parts of the batch that are computed one after another, to save memory. Each is normalised
            by its own statistics and moves the running ones, which therefore move `accumulate` times a step
            (as in PyTorch); the penalty of a gate is that of the part. All other state of modules, such as
            a gate's temperature, moves once a step.
        ema_decay: d of `e = d e + (1 - d) new`, made after every update, of parameters and running
            statistics; other state of modules is kept as it is. 0: no average.
        log_every: steps between log points, at which the window of metrics starts anew.
        skip_nonfinite: a step whose loss, gradient or result is not finite changes neither weights nor
            averages nor the optimizer's state, so that the next one sees the learning rate that it would
            have had; it is left out of the metrics.
        freeze: what is not trained, see `finetuning.frozen`. It keeps its values, the state of its modules
            and their averages to the bit; its gradients are not computed, and are not in their norm.
        repeats: whether one call may make several steps, see `StepProgram`.
    """

    @kernels.running_on(mesh)
    def train_step(state: TrainState, feed: PyTree, seed: jax.Array) -> tuple[TrainState, Window]:
        data_key, model_key = (
            jax.random.fold_in(random_streams.key(seed, name), state.step)
            for name in ("augmentation", "model")
        )
        batch = task.targets(prepare(feed, state.step, data_key))
        frozen = finetuning.frozen_weights(state.weights, freeze) if freeze else None
        grads, batch_stats, metrics = _gradients(
            model, task, state.weights, batch, model_key, accumulate, mesh, frozen
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        weights = {"params": params, "batch_stats": batch_stats}
        ema = None if state.ema is None else average(state.ema, weights, ema_decay)
        if frozen is not None:
            weights = finetuning.keep(frozen, state.weights, weights)
            ema = None if ema is None else finetuning.keep(frozen, state.ema, ema)
            params, batch_stats = weights["params"], weights["batch_stats"]

        grad_norm, param_norm = global_norm(grads), global_norm(params)
        one = jnp.ones(())
        metrics |= {
            "learning_rate": (schedule(state.step - state.window.skipped_steps), one),
            "grad_norm": (grad_norm, one),
            "param_norm": (param_norm, one),
        }
        # The norms are finite only if every value is, so that a bad update is seen before it is saved.
        finite = jnp.isfinite(
            metrics["loss"][0] + grad_norm + param_norm + global_norm(batch_stats)
        )
        if skip_nonfinite:
            weights, opt_state, ema = jax.tree.map(
                lambda new, old: jnp.where(finite, new, old),
                (weights, opt_state, ema),
                (state.weights, state.opt_state, state.ema),
            )
        window = _extend(state.window, state.step, metrics, finite, log_every, skip_nonfinite)
        new = TrainState(
            step=state.step + 1, opt_state=opt_state, ema=ema, window=window, **weights
        )
        return new, window

    return StepProgram.of(train_step, seed, mesh, repeats=repeats)


def global_norm(tree: PyTree) -> jax.Array:
    """L2 norm of all values of a tree together, in float32.

    Small arrays are joined first: most networks have many, and each sum of its own is one more to compile.
    """
    values = [leaf.astype(jnp.float32).ravel() for leaf in jax.tree.leaves(tree)]
    small = [each for each in values if each.size < _SMALL]
    large = [each for each in values if each.size >= _SMALL]
    joined = [jnp.concatenate(small)] if small else []
    return jnp.sqrt(sum((jnp.sum(jnp.square(each)) for each in large + joined), jnp.zeros(())))


def average(ema: Weights, new: Weights, decay: float) -> Weights:
    """One step of the exponential moving average, `decay * ema + (1 - decay) * new`, in the type of `ema`.

    State that is no running statistic is that of `new`: no average of temperatures was ever one.
    """
    new = jax.tree.map(lambda e, n: n.astype(e.dtype), ema, new)
    averaged = jax.tree.map(lambda e, n: decay * e + (1 - decay) * n, ema, new)
    stats = with_statistics(averaged["batch_stats"], new["batch_stats"])
    return averaged | {"batch_stats": stats}


def _gradients(
    model: nn.Module,
    task: Task,
    weights: Weights,
    batch: Batch,
    key: jax.Array,
    accumulate: int,
    mesh: Mesh,
    frozen: Weights | None,
) -> tuple[PyTree, PyTree, dict[str, Pair]]:
    """Gradients of the loss, new batch statistics and the sums of all metrics over the batch."""
    marks = {} if frozen is None else {FROZEN: finetuning.frozen_norms(frozen["batch_stats"])}
    count = batch["mask"].astype(jnp.float32).sum()
    weights_of_terms = task.weights(batch)

    def objective(params: PyTree, batch_stats: PyTree, part: Batch, key: jax.Array) -> Any:
        if frozen is not None:
            params = finetuning.keep(frozen["params"], jax.lax.stop_gradient(params), params)
        (outputs, _), new = model.apply(
            {"params": params, "batch_stats": batch_stats, **marks},
            part["image"],
            train=True,
            mutable=["batch_stats", *task.sown()],
            rngs={"dropout": key},
            **task.inputs(part),
        )
        examples = part["mask"].astype(jnp.float32).sum()
        terms = task.loss(outputs, part)
        extra = task.extra_losses(new, part)
        loss = _by_example(terms, weights_of_terms, count)
        total = loss + sum(pair[0] for pair in extra.values())
        metrics = task.monitor(outputs, part) | {"loss": (loss, examples)}
        for name in auxiliary.terms(model, task):
            weight = weights_of_terms.get(name, count)
            metrics[name] = (terms[name], weight * (examples / count))
        metrics |= {f"{name}_loss": pair for name, pair in extra.items()}
        return total / count, (new.get("batch_stats", {}), metrics)

    start = batch_stats = weights["batch_stats"]
    grads = None
    totals = zero_totals(of_batch(model, task))
    # Unrolled, because XLA runs convolutions inside a loop on one core of a CPU and without its fast paths.
    for i, part in enumerate(_parts(batch, accumulate, mesh)):
        # Each part waits for the one before: computed side by side they would save no memory.
        if i:
            grads, part = jax.lax.optimization_barrier((grads, part))
        (_, (batch_stats, metrics)), part_grads = jax.value_and_grad(objective, has_aux=True)(
            weights["params"],
            with_statistics(batch_stats, start),
            part,
            jax.random.fold_in(key, i),
        )
        grads = jax.tree.map(jnp.add, grads, part_grads) if i else part_grads
        totals = add_totals(totals, metrics)
    return grads, batch_stats, totals


def _by_example(
    terms: dict[str, jax.Array], weights: dict[str, jax.Array], count: jax.Array
) -> jax.Array:
    """The terms of a loss together, as a sum over the examples of the batch: what `count` is to divide."""
    by_weight = [terms[name] / weights[name] * count for name in terms if name in weights]
    return sum([terms[name] for name in terms if name not in weights] + by_weight, jnp.zeros(()))


def _parts(batch: Batch, number: int, mesh: Mesh) -> list[Batch]:
    """The batch in equal parts; part i takes every number-th example from i: so none changes its device."""
    if number == 1:
        return [batch]

    def part(array: jax.Array, i: int) -> jax.Array:
        rows = array.reshape(-1, number, *array.shape[1:])[:, i]
        return jax.lax.with_sharding_constraint(rows, batch_sharding(mesh))

    return [{name: part(array, i) for name, array in batch.items()} for i in range(number)]


def _extend(
    window: Window,
    step: jax.Array,
    metrics: dict[str, Pair],
    finite: jax.Array,
    log_every: int,
    skip: bool,
) -> Window:
    """The window with this step's metrics, of finite steps only with `skip`; begun anew after a log point."""
    fresh = step % log_every == 0
    kept = jax.tree.map(lambda total: jnp.where(fresh, 0.0, total), window.totals)
    extended = kept.add(metrics)
    if skip:
        return dataclasses.replace(
            window,
            totals=jax.tree.map(lambda new, old: jnp.where(finite, new, old), extended, kept),
            skipped_steps=window.skipped_steps + ~finite,
            last_skipped_step=jnp.where(finite, window.last_skipped_step, step + 1),
        )
    bad = (window.first_bad_step == 0) & ~finite
    first_bad_step = jnp.where(bad, step + 1, window.first_bad_step)
    return dataclasses.replace(window, totals=extended, first_bad_step=first_bad_step)
