"""Our side: the training step of `train.py` and the network's inference, on the devices of its loop."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks.rows import Row
from benchmarks.sides import JaxSide
from chanattn import attention, models, tasks
from chanattn.layers.kernels import current
from chanattn.training.mesh import batch_sharding, replicated, setup
from chanattn.training.optimizer import make_optimizer
from chanattn.training.overview import count_parameters
from chanattn.training.schedule import make_schedule
from chanattn.training.state import create_state
from chanattn.training.step import make_train_step
from configs import base

# Small, because the one batch is learnt by heart: the weights stay finite however long the run is.
LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


def start(devices: int, kernels: str) -> str:
    """Starts JAX as the training loop does, with its number of devices; the name of the platform.

    Args:
        devices: of the CPU; 0: as the loop decides.
        kernels: of the CPU, see `chanattn.layers.kernels`.

    Raises:
        UsageError: JAX runs already with fewer, or the kernels are absent or want another number.
    """
    config = base.get_config()
    config.kernels = kernels
    config.cpu_devices = devices
    config.batch_size = max(devices, 1)
    return setup(config).devices.flat[0].platform


def build(row: Row, mode: str, *, devices: int, kernels: str) -> JaxSide:
    """Our side, compiled.

    Args:
        row: what to run.
        mode: train or infer; of a module, forward with backward, or forward alone.
        devices: of the CPU; 0: as the loop decides.
        kernels: of the CPU, see `chanattn.layers.kernels`.

    Raises:
        UsageError: the batch does not divide over the devices, or the kernels are absent.
    """
    config = config_of(row, devices, kernels)
    mesh = setup(config)
    variant = f"{current()}, {mesh.size} device{'s' if mesh.size > 1 else ''}"
    if not row.architecture:
        return module_side(_module(row), row, mode, mesh, variant)
    model = models.from_config(config.model, row.num_classes, config.precision, config.param_dtype)
    if mode == "infer":
        return inference_side(model, row, mesh, variant)
    return _training_side(model, config, row, mesh, variant)


def config_of(row: Row, devices: int, kernels: str) -> ConfigDict:
    """The config with which `train.py` would train a network: SGD with momentum at a constant rate."""
    c = base.get_config()
    c.batch_size = row.batch
    c.cpu_devices = devices
    c.kernels = kernels
    c.precision = row.precision
    c.optimizer.learning_rate = LEARNING_RATE
    c.optimizer.momentum = MOMENTUM
    c.optimizer.nesterov = False
    c.optimizer.weight_decay = WEIGHT_DECAY
    c.schedule.name = "constant"
    # A silent branch would make half of the gradients zero.
    c.model.zero_init_residual = False
    if row.architecture:
        c.model.name = row.architecture
        c.model.attention.update(row.options)
    return c


def inference_side(model: nn.Module, row: Row, mesh: Mesh, variant: str) -> JaxSide:
    """Logits of one batch, again and again, with running statistics.

    Args:
        model: returns `(logits, endpoints)`.
        row: its input.
        mesh: devices.
        variant: how it runs, in words.
    """
    weights = _initialise(model, row, mesh)
    images = batch(row, mesh)["image"]

    def logits(weights: Any, images: jax.Array) -> jax.Array:
        return model.apply(weights, images, train=False)[0]

    run = jax.jit(logits, out_shardings=batch_sharding(mesh)).lower(weights, images).compile()
    return JaxSide(
        lambda carry: (carry, run(weights, images)),
        None,
        parameters=count_parameters(weights["params"]),
        variant=variant,
    )


def module_side(module: nn.Module, row: Row, mode: str, mesh: Mesh, variant: str) -> JaxSide:
    """A module alone: its output and, in mode train, the gradients of parameters and input.

    The output is computed in mode train too: whatever follows the module would need it.

    Args:
        module: `(x, train=...) -> y` of the same shape.
        row: its input.
        mode: train or infer.
        mesh: devices.
        variant: how it runs, in words.
    """
    x, dy = (normal(row, mesh, seed, row.precision) for seed in (0, 1))
    variables = _initialise(module, row, mesh)
    params = variables["params"]
    stats = {name: leaves for name, leaves in variables.items() if name == "batch_stats"}

    def forward(params: Any, stats: Any, x: jax.Array, dy: jax.Array) -> Any:
        return module.apply({"params": params, **stats}, x, train=False)

    def both(params: Any, stats: Any, x: jax.Array, dy: jax.Array) -> Any:
        def output(params: Any, x: jax.Array) -> Any:
            return module.apply({"params": params, **stats}, x, train=True, mutable=["batch_stats"])

        y, pull, moved = jax.vjp(output, params, x, has_aux=True)
        dparams, dx = pull(dy)
        return y, dx, dparams, moved

    split, whole = batch_sharding(mesh), replicated(mesh)
    function, shardings = (
        (both, (split, split, whole, whole)) if mode == "train" else (forward, split)
    )
    arguments = (params, stats, x, dy)
    run = jax.jit(function, out_shardings=shardings).lower(*arguments).compile()
    return JaxSide(
        lambda carry: (carry, run(*arguments)),
        None,
        parameters=count_parameters(params),
        variant=variant,
    )


def batch(row: Row, mesh: Mesh) -> dict[str, jax.Array]:
    """Random pictures with labels, on the devices."""
    labels = np.random.default_rng(0).integers(row.num_classes, size=row.batch, dtype=np.int32)
    on_devices = {
        "label": labels,
        "mask": np.ones(row.batch, np.float32),
    }
    images = normal(row, mesh, 0, "float32")
    return {"image": images, **jax.device_put(on_devices, batch_sharding(mesh))}


def normal(row: Row, mesh: Mesh, seed: int, dtype: str) -> jax.Array:
    """Normally distributed values of the row's input shape, on the devices."""
    values = np.random.default_rng(seed).standard_normal(row.shape, np.float32)
    return jax.device_put(jnp.asarray(values, jnp.dtype(dtype)), batch_sharding(mesh))


def _training_side(
    model: nn.Module, config: ConfigDict, row: Row, mesh: Mesh, variant: str
) -> JaxSide:
    schedule = make_schedule(config, total_steps=1, steps_per_epoch=1)
    optimizer, task = make_optimizer(config, schedule), tasks.create(config.task)
    state = create_state(
        model, optimizer, task, row.shape[1:], seed=config.seed, ema=False, mesh=mesh
    )
    step = make_train_step(
        model,
        optimizer,
        schedule,
        task,
        lambda feed, step, key: feed,
        mesh=mesh,
        seed=config.seed,
        log_every=config.log_every,
    )
    parameters, feed = count_parameters(state.params), batch(row, mesh)
    compiled = step.lower(state, feed).compile()
    return JaxSide(
        lambda state: compiled(state, feed), state, parameters=parameters, variant=variant
    )


def _module(row: Row) -> nn.Module:
    options = dict(row.options)
    if attention.describe(row.attention).slot == "conv":
        options |= {"filters": row.shape[-1], "dtype": jnp.dtype(row.precision)}
    return attention.create(options.pop("name"), **options)


def _initialise(model: nn.Module, row: Row, mesh: Mesh) -> Any:
    init = jax.jit(model.init, out_shardings=replicated(mesh))
    return init(jax.random.key(0), jnp.zeros((1, *row.shape[1:]), jnp.dtype(row.precision)))
