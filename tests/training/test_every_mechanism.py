"""Every mechanism learns: a short training on real digits, with the package's own step."""

from functools import partial
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict
from sampling import only

from chanattn import attention
from chanattn.data.sources import digits
from chanattn.models import ResNet
from chanattn.models.slots import resolve
from chanattn.tasks.classification import Classification
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step

PEAK = 0.02
# One channel of 16 leaves the block little; two stages and more time make up for it. Others start slowly.
LAYERS = {"argmax": (1, 1), "gumbel_softmax": (1, 1)}
STEPS = {"argmax": 500, "gumbel_softmax": 800, "double": 500, "gc": 800, "random_k": 400}

# One of each kind: plain, mixing, without parameters, spatial parts, the conv slot, shared, selections that
# are trained through estimates, and the controls.
KINDS = ["identity", "se", "simam", "cbam", "sk", "dia", "top_k", "hard_concrete", "static"]


def load(split: str) -> dict[str, np.ndarray]:
    source = digits.open_split(ConfigDict(), split, ("label",))
    images = (source.images / 255 - 0.5) / 0.5
    return {
        "image": np.repeat(images, 3, axis=-1).astype(np.float32),
        "label": source.labels.astype(np.int32),
        "mask": np.ones(len(images), np.float32),
    }


def network(name: str) -> ResNet:
    layers = LAYERS.get(name, (1,))
    return ResNet(
        block="basic",
        layers=layers,
        planes=(16, 32)[: len(layers)],
        num_classes=10,
        stem="cifar",
        stem_width=16,
        stem_pool="",
        slots=resolve({"name": name, "stages": tuple(range(1, len(layers) + 1))}),
    )


def replace_attention(params: Any, other: Any) -> Any:
    """The parameters, those of attention modules replaced by those of another tree."""

    def choose(path: Any, own: jax.Array, theirs: jax.Array) -> jax.Array:
        return theirs if any("attention" in entry.key for entry in path) else own

    return jax.tree_util.tree_map_with_path(choose, params, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", only(KINDS, attention.names()))
def test_a_short_training_on_digits_teaches_network_and_attention(name: str, mesh: Mesh) -> None:
    # Half a batch is enough for those that every run of the tests trains.
    steps, batch = STEPS.get(name, 300), 32 if name in KINDS else 64
    model, task = network(name), Classification()
    schedule = optax.cosine_onecycle_schedule(steps, PEAK)
    optimizer = optax.adamw(schedule, weight_decay=1e-3)
    state = create_state(make_init(model, optimizer, task, (8, 8, 3), ema=False, mesh=mesh), 0)
    start = jax.device_get(state.params)
    step = make_train_step(
        model, optimizer, schedule, task, lambda feed, step, key: feed, mesh=mesh, seed=0
    )
    train, test = load("train"), load("test")
    order = np.random.default_rng(0)
    for _ in range(steps):
        chosen = order.choice(len(train["label"]), batch, replace=False)
        state, window = step(state, {key: value[chosen] for key, value in train.items()})
    assert all(np.isfinite(value) for value in window.means().values())

    @partial(jax.jit, static_argnums=0)
    def sums(model: ResNet, weights: Any) -> Any:
        return task.measure(model.apply(weights, test["image"])[0], test)

    def measure(model: ResNet, weights: Any) -> dict[str, float]:
        return task.results(jax.device_get(sums(model, weights)), None, ())

    trained = measure(model, state.weights)
    assert trained["top1"] > 0.95
    # That much a network without attention reaches too. This one relies on what its attention has learnt, or,
    # where there is nothing to learn, on its being there.
    if attention.describe(name).parameters != "0":
        untrained = replace_attention(state.params, start)
        assert measure(model, state.weights | {"params": untrained})["loss"] > 1.1 * trained["loss"]
    elif name != "identity":
        absent = measure(network("identity"), state.weights)
        assert abs(absent["loss"] / trained["loss"] - 1) > 0.01
