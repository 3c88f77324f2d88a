"""Our side: the training step of `train.py` and the network's inference, on the devices of its loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks import floor
from benchmarks.rows import Row, Side
from chanattn import attention
from chanattn.analysis.cost.programs import forward, stand_in
from chanattn.analysis.timing import Repeated
from chanattn.data import Batch, Pictures
from chanattn.data.placement import batch_sharding, replicated
from chanattn.layers import kernels
from chanattn.training.experiment import Experiment
from chanattn.training.mesh import setup
from chanattn.training.step import make_train_step
from configs import base


def start(devices: int, convolutions: str) -> str:
    """Starts JAX as the training loop does, with its number of devices; the name of the platform.

    Args:
        devices: of the CPU; 0: as the loop decides.
        convolutions: what computes them on the CPU, see `chanattn.layers.kernels`.

    Raises:
        UsageError: JAX runs already with fewer, or the kernels are absent or want another number.
    """
    config = base.get_config()
    config.kernels, config.cpu_devices = convolutions, devices
    config.batch_size = max(devices, 1)
    return setup(config).devices.flat[0].platform


def config_of(row: Row, devices: int, convolutions: str) -> ConfigDict:
    """The config with which `train.py` would train a row: SGD with momentum on one synthetic batch."""
    c = base.get_config()
    c.batch_size, c.precision = row.batch, row.precision
    c.cpu_devices, c.kernels = devices, convolutions
    c.optimizer.nesterov = False
    c.schedule.name = "constant"
    # A silent branch would make half of the gradients zero.
    c.model.zero_init_residual = False
    if row.architecture:
        c.model.name = row.architecture.partition("-")[0]
        c.task.name = {"fpn": "segmentation", "fcos": "detection"}.get(row.head, "classification")
        c.model.attention.update(row.options)
        return stand_in(c, Pictures(row.shape[1:], row.num_classes))
    return c


def build(row: Row, mode: str, *, devices: int, convolutions: str) -> Side:
    """Our side, compiled.

    Args:
        row: what to run.
        mode: train or infer; of a module, forward with backward, or forward alone.
        devices: of the CPU; 0: as the loop decides.
        convolutions: what computes them on the CPU, see `chanattn.layers.kernels`.

    Raises:
        UsageError: the batch does not divide over the devices, or the kernels are absent.
    """
    config = config_of(row, devices, convolutions)
    mesh = setup(config)
    variant = f"{kernels.current()}, {mesh.size} device{'s' if mesh.size > 1 else ''}"
    if not row.architecture:
        return _module(row, mode, mesh, variant)
    experiment = Experiment.build(config)
    state = experiment.create_state()
    parameters = optax.tree.size(state.params)
    if mode == "infer":
        program = forward(experiment, state.weights, row.batch, mesh)
    else:
        feed = first_batch(experiment)
        step = bare_step(experiment).lower(state, feed).compile()
        program = Repeated(lambda state: step(state, feed), state)
    images = jax.ShapeDtypeStruct((row.batch, *experiment.train.image_shape), jnp.float32)
    inputs = experiment.task.typical_inputs(row.batch)
    work = floor.of_network(experiment.model, state.weights, images, mode, **inputs)
    return Side(program.run, parameters, variant, work=work)


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


def _module(row: Row, mode: str, mesh: Mesh, variant: str) -> Side:
    """A module alone: its output and, in mode train, the gradients of parameters and input.

    The output is computed in mode train too: whatever follows the module would need it.
    """
    options = dict(row.options)
    if attention.describe(row.attention).slot == "conv":
        options |= {"filters": row.shape[-1], "dtype": jnp.dtype(row.precision)}
    module = attention.create(options.pop("name"), **options)
    split, whole = batch_sharding(mesh), replicated(mesh)
    numbers = np.random.default_rng(0)
    x, dy = (
        jax.device_put(jnp.asarray(numbers.standard_normal(row.shape), row.precision), split)
        for _ in range(2)
    )
    variables = jax.jit(module.init, out_shardings=whole)(jax.random.key(0), x[:1])
    params = variables["params"]
    stats = {name: leaves for name, leaves in variables.items() if name == "batch_stats"}

    def infer(params: Any, stats: Any, x: jax.Array, dy: jax.Array) -> Any:
        return module.apply({"params": params, **stats}, x, train=False)

    def train(params: Any, stats: Any, x: jax.Array, dy: jax.Array) -> Any:
        def output(params: Any, x: jax.Array) -> Any:
            return module.apply({"params": params, **stats}, x, train=True, mutable=["batch_stats"])

        y, pull, moved = jax.vjp(output, params, x, has_aux=True)
        dparams, dx = pull(dy)
        return y, dx, dparams, moved

    function, shardings = (
        (train, (split, split, whole, whole)) if mode == "train" else (infer, split)
    )
    arguments = (params, stats, x, dy)
    run = jax.jit(function, out_shardings=shardings).lower(*arguments).compile()
    program = Repeated(lambda carry: (carry, run(*arguments)))
    work = floor.of_module(function, *arguments, x=x, mode=mode)
    return Side(program.run, optax.tree.size(params), variant, work=work)
