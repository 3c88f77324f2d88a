"""A network small enough to train in a test, and a mesh of one device."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from ml_collections import ConfigDict

from chanattn import models
from chanattn.training.metrics_log import MetricsLog


class TinyNet(nn.Module):
    """Convolution, batch norm, dropout, mean, classifier; called like every model of the package."""

    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    width: int = 8
    classes: int = 5

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name="stem")(x)
        x = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, name="norm")(x)
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dense(8, dtype=self.dtype, name="attention")(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=self.dtype, name="classifier")(x), {}


@pytest.fixture(scope="session")
def tiny_net():
    return TinyNet


@pytest.fixture(scope="session")
def mesh():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])


@pytest.fixture
def tiny_runs(monkeypatch, tiny_net):
    """Lets runs train the tiny network, which compiles sooner, and draw no curves."""
    monkeypatch.setattr(models, "from_config", lambda *_: tiny_net(dropout=0.2))


@pytest.fixture
def at_line(monkeypatch):
    """`at_line(8, action)`: calls it once, right after the training metrics of step 8 were written."""

    def at_line(number, action):
        write = MetricsLog.write

        def written(self, step, split, metrics):
            write(self, step, split, metrics)
            if (step, split) == (number, "train") and action not in done:
                done.append(action)
                action()

        done = []
        monkeypatch.setattr(MetricsLog, "write", written)

    return at_line


@pytest.fixture
def optimizer_config():
    """The sections of a config that schedule and optimizer read."""
    return ConfigDict(
        {
            "steps": 10,
            "epochs": 0.0,
            "examples": 0,
            "optimizer": {
                "name": "sgd",
                "learning_rate": 0.1,
                "momentum": 0.9,
                "nesterov": True,
                "beta1": 0.9,
                "beta2": 0.99,
                "eps": 1e-3,
                "weight_decay": 0.01,
                "decay_attention": True,
                "clip_norm": 0.0,
                "freeze": (),
                "layer_decay": 1.0,
                "new_factor": 1.0,
            },
            "schedule": {
                "name": "constant",
                "warmup_epochs": 0.0,
                "warmup_steps": 0,
                "boundaries": (0.5, 0.75),
                "factor": 0.1,
                "power": 2.0,
                "end_factor": 0.0,
            },
        }
    )
