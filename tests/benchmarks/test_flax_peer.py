"""The plain Flax peer is the same network as ours."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import ours, rows
from benchmarks.flax_network import PlainResNet
from chanattn import models

NETWORKS = [name for name in rows.names() if "@" not in name]


def pair(name: str) -> tuple[models.Network, PlainResNet]:
    (row,) = rows.make([name], batch_size=2, on_accelerator=False, precision="float32")
    config = ours.config_of(row, 0, "auto")
    model = models.from_config(config.model, row.num_classes, "float32", "float32")
    return model, PlainResNet.of(row)


@pytest.mark.parametrize("name", NETWORKS)
def test_variables_have_the_same_names_and_shapes(name: str) -> None:
    picture = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    model, peer = (
        jax.eval_shape(network.init, jax.random.key(0), picture) for network in pair(name)
    )
    assert jax.tree.map(lambda leaf: leaf.shape, model) == jax.tree.map(
        lambda leaf: leaf.shape, peer
    )


@pytest.mark.parametrize("name", ["resnet20_se", "resnet20_sk", "resnet20_splat"])
def test_logits_are_equal(name: str) -> None:
    model, peer = pair(name)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 16, 16, 3), np.float32))
    quick = {"compiler_options": {"xla_backend_optimization_level": 0}}
    variables = jax.jit(model.init, **quick)(jax.random.key(0), x)

    def logits(network: models.Network | PlainResNet) -> jax.Array:
        def run(variables: Any, x: jax.Array) -> jax.Array:
            return network.apply(variables, x, train=True, mutable=["batch_stats"])[0][0]

        return jax.jit(run, **quick)(variables, x)

    expected = logits(model)
    assert jnp.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits(peer), expected, atol=1e-4 * float(jnp.abs(expected).max()))
