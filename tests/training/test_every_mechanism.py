"""Every mechanism learns: a short training on real digits, with the package's own step."""

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
from chanattn.training.state import Totals, create_state
from chanattn.training.step import make_eval_step, make_train_step

BATCH, PEAK = 64, 0.02
# One channel of 16 leaves the block little; two stages and more time make up for it. Others start slowly.
LAYERS = {"argmax": (1, 1), "gumbel_softmax": (1, 1)}
STEPS = {"argmax": 500, "gumbel_softmax": 800, "double": 500, "gc": 800, "random_k": 400}

# One of each kind: plain, every way to mix, spatial parts, conv slots, shared, selections that are trained
# through estimates, and the controls.
KINDS = ["identity", "se", "eca", "cbam", "simam", "gct", "dia", "sk", "splat", "gc", "static"]
KINDS += ["top_k", "gumbel_sigmoid", "hard_concrete"]


def load(split: str) -> dict[str, np.ndarray]:
    source = digits.open_split(ConfigDict(), split)
    images = (source.images / 255 - 0.5) / 0.5
    return {
        "image": np.repeat(images, 3, axis=-1).astype(np.float32),
        "label": source.labels.astype(np.int32),
        "mask": np.ones(len(images), np.float32),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", only(KINDS, attention.names()))
def test_a_short_training_on_digits_beats_95_percent(name: str, mesh: Mesh) -> None:
    layers, steps = LAYERS.get(name, (1,)), STEPS.get(name, 300)
    model = ResNet(
        block="basic",
        layers=layers,
        planes=(16, 32)[: len(layers)],
        num_classes=10,
        stem="cifar",
        stem_width=16,
        stem_pool="",
        slots=resolve({"name": name, "stages": tuple(range(1, len(layers) + 1))}),
    )
    task = Classification()
    schedule = optax.cosine_onecycle_schedule(steps, PEAK)
    optimizer = optax.adamw(schedule, weight_decay=1e-3)
    state = create_state(model, optimizer, task, (8, 8, 3), seed=0, ema=False, mesh=mesh)
    step = make_train_step(
        model, optimizer, schedule, task, lambda feed, step, key: feed, mesh=mesh, seed=0
    )
    train, test = load("train"), load("test")
    order = np.random.default_rng(0)
    for _ in range(steps):
        chosen = order.choice(len(train["label"]), BATCH, replace=False)
        state, window = step(state, {key: value[chosen] for key, value in train.items()})

    assert all(np.isfinite(value) for value in window.means().values())
    evaluate = make_eval_step(model, task, lambda feed: feed, mesh=mesh)
    totals = evaluate(state.weights, test, jax.device_put(Totals.zero(task.metric_names)))
    assert totals.means()["top1"] > 0.95
