"""Everything a training run carries from one step to the next."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from chanattn import random_streams
from chanattn.tasks import Pair, Task, auxiliary
from chanattn.training.mesh import replicated

PyTree = Any
Weights = dict[str, PyTree]  # {"params", "batch_stats"}: what a forward pass needs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Window:
    """What is reported at the next log point, gathered on the device since the last one.

    It belongs to the state, so that a run resumed between two log points reports the same numbers.

    Attributes:
        totals: every metric as (sum, count).
        first_bad_step: number of the first step (from 1) that left a value that is not finite; 0: none.
        skipped_steps: how many steps of the whole run were skipped because they would have.
        last_skipped_step: number of the last one of those; 0: none.
    """

    totals: dict[str, Pair]
    first_bad_step: jax.Array
    skipped_steps: jax.Array
    last_skipped_step: jax.Array

    def means(self) -> dict[str, float]:
        """The metrics as numbers; waits for the device."""
        return means(self.totals)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state of a training run, a pytree.

    Attributes:
        step: int32, number of optimizer steps made.
        params: parameters.
        batch_stats: running statistics of the norms; empty for a network without any.
        opt_state: state of the optimizer.
        ema: moving averages {"params", "batch_stats"} in float32, or None.
        window: metrics since the last log point.
    """

    step: jax.Array
    params: PyTree
    batch_stats: PyTree
    opt_state: optax.OptState
    ema: Weights | None
    window: Window

    @property
    def weights(self) -> Weights:
        """What a forward pass needs, without averaging."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def parts_of(state: TrainState) -> dict[str, PyTree]:
    """The state as a checkpoint holds it: an evaluation reads `weights` or `ema` alone."""
    parts: dict[str, PyTree] = {
        "weights": state.weights,
        "training": {"step": state.step, "opt_state": state.opt_state, "window": state.window},
    }
    return parts if state.ema is None else parts | {"ema": state.ema}


_STEP_METRICS = ("learning_rate", "grad_norm", "param_norm")


def reported(model: nn.Module, task: Task) -> tuple[str, ...]:
    """Names of what is reported of training steps; losses that mechanisms add end in `_loss`."""
    extra = tuple(f"{name}_loss" for name in auxiliary.names(model))
    return (*task.metric_names, *extra, *_STEP_METRICS)


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    task: Task,
    image_shape: tuple[int, int, int],
    *,
    seed: int,
    ema: bool,
    mesh: Mesh,
) -> TrainState:
    """A fresh state, initialised on the devices of the mesh; a pure function of the seed."""
    init = _initializer(model, optimizer, task, image_shape, ema)
    # XLA:CPU spends four times as long on optimising these many small programs as on everything else.
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 0} if on_cpu else {}
    run = jax.jit(init, out_shardings=replicated(mesh), compiler_options=options)
    return run(random_streams.key(seed, "initialisation"))


def abstract_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    task: Task,
    image_shape: tuple[int, int, int],
    *,
    ema: bool,
    mesh: Mesh,
) -> TrainState:
    """Shapes, types and shardings of `create_state`, without computing: a template to restore into."""
    shapes = jax.eval_shape(
        _initializer(model, optimizer, task, image_shape, ema), jax.random.key(0)
    )
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), shapes
    )


def zero_totals(names: tuple[str, ...]) -> dict[str, Pair]:
    """Empty (sum, count) pairs."""
    return {name: (jnp.zeros(()), jnp.zeros(())) for name in names}


def add_totals(totals: dict[str, Pair], more: dict[str, Pair]) -> dict[str, Pair]:
    """Both together, metric by metric."""
    return {
        name: (total + more[name][0], count + more[name][1])
        for name, (total, count) in totals.items()
    }


def means(totals: dict[str, Pair]) -> dict[str, float]:
    """The quotient sum / count of every metric, nan for a count of 0; waits for the device."""
    return {
        name: float(total) / float(count) if count else math.nan
        for name, (total, count) in jax.device_get(totals).items()
    }


def _initializer(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    task: Task,
    image_shape: tuple[int, int, int],
    ema: bool,
) -> Any:
    def init(key: jax.Array) -> TrainState:
        variables = model.init(key, jnp.zeros((1, *image_shape)))
        weights = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            opt_state=optimizer.init(weights["params"]),
            # float32 whatever the parameters' type: bfloat16 would round each small update away.
            ema=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights) if ema else None,
            window=Window(
                totals=zero_totals(reported(model, task)),
                first_bad_step=jnp.zeros((), jnp.int32),
                skipped_steps=jnp.zeros((), jnp.int32),
                last_skipped_step=jnp.zeros((), jnp.int32),
            ),
            **weights,
        )

    return init
