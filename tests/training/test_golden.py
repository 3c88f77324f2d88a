"""Six steps of training equal PyTorch's, through the code that `train.py` runs.

The arrays are computed by PyTorch and timm. Deliberate mistakes move the results by much more than the
tolerances: no Nesterov 0.6, 10 % less weight decay 1e-3, warm-up off by one 0.3.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn import tasks
from chanattn.data.pipeline import training_batch
from chanattn.data.placement import replicated
from chanattn.interop import from_torch
from chanattn.layers.norm import BatchNorm
from chanattn.models import ResNet
from chanattn.models.slots import resolve
from chanattn.training.optimizer import make_optimizer
from chanattn.training.schedule import make_schedule
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step
from configs import base

MODELS = {
    "seresnet_basic_sgd": ResNet(
        block="basic",
        layers=(2, 1, 1, 1),
        planes=(8, 16, 24, 32),
        num_classes=10,
        slots=resolve({"name": "se", "rounding": "timm"}),
    ),
    "ecaresnet_d_adamw": ResNet(
        block="bottleneck",
        layers=(1, 1, 1, 1),
        planes=(8, 16, 16, 24),
        num_classes=10,
        stem="deep",
        stem_width=8,
        shortcut="avg_pool",
        slots=resolve({"name": "eca"}),
    ),
}
MOMENTUM = 0.1  # of the running statistics, as PyTorch counts it


def config_of(settings, steps):
    """The config of a run that a user would write for the settings in the file."""
    config = base.get_config()
    config.steps, config.batch_size, config.dataset.name = steps, 16, "golden"
    config.dataset.std = (0.25, 0.25, 0.25)
    config.task.label_smoothing = settings["label_smoothing"]
    config.ema.decay = settings["ema_decay"]
    config.schedule.warmup_steps = settings["warmup_steps"]
    o = config.optimizer
    o.name, o.learning_rate = settings["name"], settings["learning_rate"]
    o.weight_decay, o.clip_norm = settings["weight_decay"], settings["clip_global_norm"] or 0.0
    names = {"momentum": "momentum", "nesterov": "nesterov"}
    names |= {"b1": "beta1", "b2": "beta2", "eps": "eps"}
    for theirs, ours in names.items():
        if theirs in settings:
            o[ours] = settings[theirs]
    return config


def torch_state(arrays, prefix):
    return {name[2:]: arrays[name] for name in arrays.files if name.startswith(prefix)}


def values_per_channel(model, variables):
    """How many values the mean of each batch norm runs over, by the path of the norm."""

    def forward(variables, images):
        return model.apply(
            variables,
            images,
            train=True,
            mutable=["intermediates", "batch_stats"],
            capture_intermediates=lambda module, _: isinstance(module, BatchNorm),
        )

    _, captured = jax.eval_shape(forward, variables, jnp.zeros((16, 32, 32, 3)))
    outputs = flatten_dict(captured["intermediates"])
    return {path[:-1]: value[0].size // value[0].shape[-1] for path, value in outputs.items()}


def biased(variance, start, n, steps):
    """PyTorch's running variance as one that gathers biased variances, as Flax does."""
    kept = (1 - MOMENTUM) ** steps * start
    return kept + (variance - kept) * (n - 1) / n


def assert_close(ours, theirs, tolerance):
    ours, theirs = flatten_dict(ours, sep="/"), flatten_dict(theirs, sep="/")
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        error = np.abs(ours[name] - expected).max() / np.abs(expected).max()
        assert error <= tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_training_equals_that_of_pytorch(golden, mesh, name):
    model, run = MODELS[name], np.load(golden / "train" / f"{name}.npz")
    meta = json.loads(str(run["meta"]))
    steps = meta["steps"]
    initial = np.load(golden / meta["start"].split()[0])
    start = jax.device_get(from_torch(model, torch_state(initial, "p:")))

    config = config_of(meta["optimizer"], steps)
    schedule = make_schedule(config, steps, steps_per_epoch=steps)
    optimizer, task = make_optimizer(config, schedule), tasks.create(config.task)
    state = create_state(make_init(model, optimizer, task, (32, 32, 3), ema=True, mesh=mesh), 0)
    weights = {"params": start["params"], "batch_stats": start["batch_stats"]}
    state = dataclasses.replace(state, **weights, ema=weights)
    state = jax.device_put(state, replicated(mesh))
    step = make_train_step(
        model,
        optimizer,
        schedule,
        task,
        lambda feed, step, key: training_batch(key, feed, {}, config.dataset),
        mesh=mesh,
        seed=0,
        ema_decay=config.ema.decay,
    )
    metrics = []
    for image, label in zip(run["images"], run["labels"], strict=True):
        state, window = step(state, {"image": image, "label": label})
        metrics.append(window.means())

    for metric, array, tolerance in (
        ("learning_rate", "learning_rate", 1e-6),
        ("loss", "loss", 5e-5),
        ("grad_norm", "grad_norm", 2e-3),
        ("param_norm", "param_norm", 2e-3),
    ):
        ours = [values[metric] for values in metrics]
        np.testing.assert_allclose(ours, run[array], rtol=tolerance, atol=1e-9, err_msg=metric)

    end = from_torch(model, torch_state(run, "q:"))
    for path, n in values_per_channel(model, start).items():
        then, now = start["batch_stats"], end["batch_stats"]
        for module in path:
            then, now = then[module], now[module]
        now["var"] = biased(now["var"], then["var"], n, steps)
    state = jax.device_get(state)
    assert_close(state.params, end["params"], 2e-4)
    assert_close(state.batch_stats, end["batch_stats"], 2e-4)

    variances = {name: a for name, a in torch_state(run, "q:").items() if "running_var" in name}
    averaged = from_torch(model, torch_state(run, "e:") | variances)
    assert_close(state.ema["params"], averaged["params"], 5e-5)
    assert_close(only_means(state.ema["batch_stats"]), only_means(averaged["batch_stats"]), 5e-5)


def only_means(tree):
    flat = flatten_dict(tree)
    return unflatten_dict({path: array for path, array in flat.items() if path[-1] == "mean"})
