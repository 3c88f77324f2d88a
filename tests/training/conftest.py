"""A network small enough to train in a test, and a mesh of one device."""

import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from ml_collections import ConfigDict


class TinyNet(nn.Module):
    """Convolution, batch norm, dropout, mean, classifier; called like every model of the package."""

    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(8, (3, 3), use_bias=False, dtype=self.dtype, name="stem")(x)
        x = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, name="norm")(x)
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dense(8, dtype=self.dtype, name="attention")(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(5, dtype=self.dtype, name="classifier")(x), {}


@pytest.fixture(scope="session", autouse=True)
def compile_each_program_once(tmp_path_factory):
    """Keeps compiled programs for the tests of this folder, and for the processes that they start."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
        del os.environ[name.upper()]


@pytest.fixture
def tiny_net():
    return TinyNet


@pytest.fixture
def mesh():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])


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
