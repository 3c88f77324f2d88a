"""What of a config is timed: its training step, and its network's forward pass."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.analysis.timing import Repeated
from chanattn.data import Pictures
from chanattn.data.placement import AXIS, batch_sharding, put_copies, replicated
from chanattn.layers import kernels
from chanattn.models import folding
from chanattn.training.experiment import Experiment
from chanattn.training.parts import in_parts
from chanattn.training.validate import validate

# So long that no warm-up, whatever its length, ends later.
_STEPS = 10**9
# One batch is learnt again and again: at a rate that matters the weights might not stay finite.
_LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Programs:
    """The compiled programs of a config.

    Attributes:
        train: The training step, one batch a step.
        infer: Logits of one batch a step, with running statistics.
        latency: Logits of one picture on one device, each waited for.
        devices: Number of devices that share a batch.
        kernels: What computes the convolutions.
        peak_memory_bytes: See `planned_memory`; of the training step.
    """

    train: Repeated
    infer: Repeated
    latency: Repeated
    devices: int
    kernels: str
    peak_memory_bytes: int | None


def stand_in(config: ConfigDict, pictures: Pictures) -> ConfigDict:
    """The config with a synthetic data set of the same shapes: its step is the step of `train.py`.

    All that is left out is reading and decoding: the batch lies in the device's memory. Length and learning
    rate are others, which costs nothing.
    """
    c = config.copy_and_resolve_references()
    c.steps, c.epochs, c.examples = _STEPS, 0.0, 0
    c.optimizer.learning_rate = _LEARNING_RATE
    c.dataset.name, c.dataset.split, c.dataset.eval_split = "synthetic", "train", "test"
    c.dataset.data_dir, c.dataset.workers = "", 0
    c.dataset.class_names, c.dataset.void = (), -1
    with c.dataset.ignore_type():  # may have been one number
        c.dataset.image_size = pictures.image_shape[:2]
    c.dataset.synthetic_examples = config.batch_size
    c.dataset.synthetic_classes = pictures.num_classes
    return c


def compile_programs(
    config: ConfigDict, pictures: Pictures, build: Callable[..., Experiment] = Experiment.build
) -> Programs:
    """Builds and compiles everything that `train.py` would run on the devices.

    Where the pictures of a run lie on the device, the step is the very program of the run, which a cache of
    compiled programs knows.

    Args:
        config: Validated.
        pictures: Shapes of its data.
        build: In place of `Experiment.build`, such as a `Reuse`, for configs that share their pictures.

    Raises:
        UsageError: The devices or kernels are absent, the batch does not divide over the devices, or the
            mechanism does not fit the network.
    """
    on_device = data.on_device(config, tasks.create(config.task).fields)
    if on_device < config.batch_size:
        config = stand_in(config, pictures)
        validate(config)
    else:  # weights are drawn, and configs that begin with none of their own share their pictures
        config = config.copy_and_resolve_references()
        config.model.init = ""
    experiment = build(config, lambda *_: None)
    with experiment.train as train:
        feed = next(iter(train.feeds(0)))
        at_once = train.steps_alike(0)
    state = experiment.create_state()
    weights = jax.tree.map(jnp.copy, state.weights)  # the step consumes its own
    lowered = experiment.train_step().lower(state, feed)
    # Behind the end of the training, where most schedules have come to rest, the weights stay finite.
    end = np.asarray(experiment.total_steps, np.int32)
    state = dataclasses.replace(state, step=put_copies(end, experiment.mesh))
    one = _one_device(experiment.mesh)
    with ThreadPoolExecutor(1) as beside:  # XLA compiles two programs at once
        compiled = beside.submit(lowered.compile)
        infer = forward(experiment, weights, config.batch_size, experiment.mesh)
        latency = forward(experiment, weights, 1, one, in_flight=0)
        step = compiled.result()
    return Programs(
        train=Repeated(
            lambda state, steps: step(state, feed, steps),
            state,
            at_once=at_once if step.repeats else 1,
        ),
        infer=infer,
        latency=latency,
        devices=experiment.mesh.size,
        kernels=kernels.current(),
        peak_memory_bytes=_memory(step, feed, config.batch_size / train.num_examples),
    )


def _memory(step: Any, feed: Any, share: float) -> int | None:
    """The planned memory of a step that is fed `share` of the data set, as a stream of batches would."""
    planned = planned_memory(step)
    fed = sum(array.nbytes for array in jax.tree.leaves(feed))
    return None if planned is None else planned - round((1 - share) * fed)


def planned_memory(compiled: Any) -> int | None:
    """Bytes that a program needs on one device, as XLA has planned them: arguments, results, temporaries.

    The high-water mark that a device keeps belongs to the whole process, so it cannot tell several programs
    apart. Not in the plan: what oneDNN's kernels allocate for themselves. None where XLA tells nothing.
    """
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    return int(
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes  # results that are written into their arguments
    )


def forward(experiment: Experiment, weights: Any, batch: int, mesh: Mesh, **how: Any) -> Repeated:
    """Logits of one batch of random pictures, again and again, with running statistics.

    A captioner is told the words, see `Task.typical_inputs`.

    Args:
        experiment: Whose network it is.
        weights: Its variables; copied to the devices.
        batch: Pictures.
        mesh: Devices that share the batch.
        **how: As of `Repeated`.
    """

    def logits(weights: Any, images: jax.Array, inputs: dict[str, jax.Array]) -> jax.Array:
        with folding():
            return experiment.model.apply(weights, images, train=False, **inputs)[0]

    drawn = np.random.default_rng(0).normal(size=(batch, *experiment.train.image_shape))
    images = jax.device_put(drawn.astype(np.float32), batch_sharding(mesh))
    inputs = jax.device_put(experiment.task.typical_inputs(batch), batch_sharding(mesh))
    weights = jax.device_put(weights, replicated(mesh))
    given = (weights, images, inputs)
    run: Callable[..., Any] | None = in_parts(logits, *given)  # as the evaluation does
    if run is None:
        run = jax.jit(logits, out_shardings=batch_sharding(mesh)).lower(*given).compile()
    return Repeated(lambda carry: (carry, run(*given)), **how)


def _one_device(mesh: Mesh) -> Mesh:
    first = mesh.devices.flat[0]
    return jax.make_mesh((1,), (AXIS,), axis_types=(AxisType.Auto,), devices=[first])
