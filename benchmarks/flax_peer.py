"""The peer `flax`: the same network in plain Flax, with a plain step, in this interpreter on one device.

One device is what JAX has on a CPU unless told otherwise; it uses all cores.
"""

from typing import Any

import jax
import optax
from jax.sharding import AxisType

from benchmarks.flax_network import PlainResNet
from benchmarks.ours import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, batch, inference_side
from benchmarks.rows import Row
from benchmarks.sides import JaxSide
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.training.overview import count_parameters


def check(row: Row) -> None:
    """Refuses rows that have no plain Flax form.

    Raises:
        UsageError: the row is a module alone.
    """
    if not row.architecture:
        raise UsageError(
            f"--against=flax compares networks, not the module {row.name!r}; use --rows=resnet20* or"
            " --against=timm"
        )


def build(row: Row, mode: str) -> JaxSide:
    """The peer, compiled; the convolutions inside its gates are plain too.

    Args:
        row: a network.
        mode: train or infer.
    """
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    model = PlainResNet.of(row)
    with kernels.chosen("plain"):
        if mode == "infer":
            return inference_side(model, row, mesh, "plain Flax, 1 device")
        return _training_side(model, row, jax.tree.map(jax.device_get, batch(row, mesh)))


def _training_side(model: PlainResNet, row: Row, data: dict[str, Any]) -> JaxSide:
    data = jax.device_put(data, jax.devices()[0])
    variables = jax.jit(model.init)(jax.random.key(0), data["image"][:1])
    optimizer = optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, MOMENTUM)
    )

    def step(state: Any, data: dict[str, jax.Array]) -> tuple[Any, jax.Array]:
        params, stats, moments = state

        def loss(params: Any) -> Any:
            (logits, _), moved = model.apply(
                {"params": params, "batch_stats": stats},
                data["image"],
                train=True,
                mutable=["batch_stats"],
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, data["label"])
            return losses.mean(), moved["batch_stats"]

        (value, moved), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moved, moments), value

    params, stats = variables["params"], variables["batch_stats"]
    state = (params, stats, optimizer.init(params))
    compiled = jax.jit(step, donate_argnums=0).lower(state, data).compile()
    return JaxSide(
        lambda state: compiled(state, data),
        state,
        parameters=count_parameters(params),
        variant="plain Flax, 1 device",
    )
