"""Everything a training run carries from one step to the next."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from chanattn import random_streams
from chanattn.batch import Pair
from chanattn.data.placement import replicated
from chanattn.few_calls import jit_for_few_calls
from chanattn.layers import kernels
from chanattn.tasks import Task, auxiliary
from chanattn.tasks.task import STEP_METRICS

PyTree = Any
Weights = dict[str, PyTree]  # {"params", "batch_stats"}: what a forward pass needs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over any number of batches.

    A float32 counts to 2^24 and no further. What an addition rounds off is therefore kept (Knuth, The Art of
    Computer Programming 2, section 4.2.2, theorem B), which makes counts exact up to 2^48. Integers are exact
    as they are.

    Attributes:
        sums: a pytree; of metrics (sum, count) pairs by name.
        rest: of the same structure, what the sums have lost.
    """

    sums: PyTree
    rest: PyTree

    @classmethod
    def zero(cls, names: tuple[str, ...]) -> Self:
        """Of the metrics of no batch."""
        return cls(zero_totals(names), zero_totals(names))

    @classmethod
    def like(cls, sums: PyTree, place: jax.sharding.Sharding) -> Self:
        """Zeros of the shapes and types of some sums, which may be abstract; no program makes them."""

        def zeros(sum: Any) -> jax.Array:
            return jax.device_put(np.zeros(sum.shape, sum.dtype), place)

        return cls(jax.tree.map(zeros, sums), jax.tree.map(zeros, sums))

    def add(self, batch: PyTree) -> Self:
        """With the sums of one more batch."""
        sums = jax.tree.map(jnp.add, self.sums, batch)
        rest = jax.tree.map(_rounded_off, self.sums, batch, sums, self.rest)
        return type(self)(sums, rest)

    def exact(self) -> PyTree:
        """The sums on the host, in double precision or as integers of 64 bits; waits for the device."""
        sums, rest = jax.device_get((self.sums, self.rest))
        return jax.tree.map(_together, sums, rest)

    def means(self) -> dict[str, float]:
        """The quotient sum / count of every metric, nan for a count of 0; waits for the device."""
        return means(self.exact())


def _together(total: np.ndarray, lost: np.ndarray) -> Any:
    if not np.issubdtype(total.dtype, np.integer):
        wide = total.astype(np.float64) + lost.astype(np.float64)
    else:
        wide = total.astype(np.int64)
    return wide if wide.ndim else wide.item()


def _rounded_off(a: jax.Array, b: jax.Array, total: jax.Array, rest: jax.Array) -> jax.Array:
    """`rest`, and a + b less its rounded `total`; nothing is lost of a total that is not finite."""
    if jnp.issubdtype(total.dtype, jnp.integer):
        return rest
    part = total - a
    lost = (a - (total - part)) + (b - part)
    return rest + jnp.where(jnp.isfinite(total), lost, 0.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Window:
    """What is reported at the next log point, gathered on the device since the last one.

    It belongs to the state, so that a run resumed between two log points reports the same numbers.

    Attributes:
        totals: of every metric.
        first_bad_step: number of the first step (from 1) that left a value that is not finite; 0: none.
        skipped_steps: how many steps of the whole run were skipped because they would have.
        last_skipped_step: number of the last one of those; 0: none.
    """

    totals: Totals
    first_bad_step: jax.Array
    skipped_steps: jax.Array
    last_skipped_step: jax.Array

    def means(self) -> dict[str, float]:
        """The metrics as numbers; waits for the device."""
        return self.totals.means()


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


def with_statistics(new: PyTree, old: PyTree) -> PyTree:
    """State of modules (`batch_stats`): running statistics from `new`, everything else from `old`.

    Running statistics are the `mean` and `var` of norms: every forward pass in training moves them, and
    moving averages average them. What else modules keep there (a gate's temperature, a basis that was drawn)
    belongs to the step and is no quantity to average.
    """

    def choose(
        path: tuple[jax.tree_util.DictKey, ...], new: jax.Array, old: jax.Array
    ) -> jax.Array:
        return new if path[-1].key in ("mean", "var") else old

    return jax.tree_util.tree_map_with_path(choose, new, old)


REST = "training/window/rest"
"""Where checkpoints hold what the totals of metrics have lost; those of earlier versions lack it."""


def parts_of(state: TrainState, *, rest: bool = True) -> dict[str, PyTree]:
    """The state as a checkpoint holds it: an evaluation reads `weights` or `ema` alone.

    Args:
        state: the state.
        rest: False: without what is under `REST`, as in checkpoints of earlier versions.
    """
    window = {field.name: getattr(state.window, field.name) for field in dataclasses.fields(Window)}
    window["totals"] = state.window.totals.sums
    if rest:
        window["rest"] = state.window.totals.rest
    parts: dict[str, PyTree] = {
        "weights": state.weights,
        "training": {"step": state.step, "opt_state": state.opt_state, "window": window},
    }
    return parts if state.ema is None else parts | {"ema": state.ema}


def state_of(parts: Mapping[str, PyTree]) -> TrainState:
    """The state of what `parts_of` returns; a rest that is not there is zero."""
    window = dict(parts["training"]["window"])
    sums = window.pop("totals")
    totals = Totals(sums, window.pop("rest", None) or jax.tree.map(jnp.zeros_like, sums))
    training = {**parts["training"], "window": Window(totals=totals, **window)}
    return TrainState(**parts["weights"], **training, ema=parts.get("ema"))


def reported(model: nn.Module, task: Task) -> tuple[str, ...]:
    """Names of what is reported of training steps, in the order of the line."""
    return (*of_batch(model, task), *STEP_METRICS)


def of_batch(model: nn.Module, task: Task) -> tuple[str, ...]:
    """Names of what is added up over the parts of a batch; losses that mechanisms add end in `_loss`."""
    extra = tuple(f"{name}_loss" for name in task.extra_names(model))
    return ("loss", *task.monitored, *auxiliary.terms(model, task), *extra)


def make_init(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    task: Task,
    image_shape: tuple[int, int, int],
    *,
    ema: bool,
    mesh: Mesh,
) -> Any:
    """The jitted function `seed -> state` of the state before the first step, on all devices of the mesh.

    Args:
        model: the network.
        optimizer: see `make_optimizer`.
        task: names the metrics.
        image_shape: (H, W, 3).
        ema: whether the run has moving averages.
        mesh: devices.
    """

    def init(seed: jax.Array) -> TrainState:
        key = random_streams.key(seed, "initialisation")
        with kernels.chosen("plain"):  # traced in half the time, and nobody needs what it computes
            variables = model.init(key, jnp.zeros((1, *image_shape)))
        weights = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            opt_state=optimizer.init(weights["params"]),
            # float32 whatever the parameters' type: bfloat16 would round each small update away.
            ema=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights) if ema else None,
            window=Window(
                totals=Totals.zero(reported(model, task)),
                first_bad_step=jnp.zeros((), jnp.int32),
                skipped_steps=jnp.zeros((), jnp.int32),
                last_skipped_step=jnp.zeros((), jnp.int32),
            ),
            **weights,
        )

    return jit_for_few_calls(init, out_shardings=replicated(mesh))


def create_state(init: Any, seed: int) -> TrainState:
    """A fresh state, a pure function of the seed.

    Args:
        init: of `make_init`.
        seed: of the run.
    """
    state: TrainState = init(np.uint32(seed))
    return state


def compile_beside(init: Any) -> Callable[[int], TrainState]:
    """`create_state` as a function of the seed, whose program another thread compiles until it is called.

    Args:
        init: of `make_init`.
    """
    lowered = init.lower(np.uint32(0))
    beside = ThreadPoolExecutor(1)
    compiled = beside.submit(lowered.compile)
    beside.shutdown(wait=False)

    def create(seed: int) -> TrainState:
        state: TrainState = compiled.result()(np.uint32(seed))
        return state

    return create


def at_hand(state: TrainState) -> Callable[[], TrainState]:
    """What returns a state that nobody has to wait for."""
    return lambda: state


def abstract_state(init: Any) -> TrainState:
    """Shapes, types and shardings of `create_state`, without computing: a template to restore into.

    Args:
        init: of `make_init`.
    """
    state: TrainState = init.eval_shape(np.uint32(0))
    return state


def number_of_values(tree: PyTree) -> int:
    """In all arrays of a tree, which may be abstract."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def zero_totals(names: tuple[str, ...]) -> dict[str, Pair]:
    """Empty (sum, count) pairs."""
    return {name: (jnp.zeros(()), jnp.zeros(())) for name in names}


def add_totals(totals: dict[str, Pair], more: dict[str, Pair]) -> dict[str, Pair]:
    """Both together, metric by metric."""
    return {
        name: (total + more[name][0], count + more[name][1])
        for name, (total, count) in totals.items()
    }


def means(totals: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """The quotient sum / count of every metric, nan for a count of 0; waits for the device."""
    return {
        name: float(total) / float(count) if count else math.nan
        for name, (total, count) in jax.device_get(totals).items()
    }
