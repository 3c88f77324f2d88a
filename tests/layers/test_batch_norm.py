"""Batch norm against its definition in numpy and against Flax's, with every kind of kernels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import onednn
from chanattn.layers import BatchNorm, kernels

needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason=f"oneDNN cannot be loaded: {onednn.reason_absent()}"
)
KERNELS = [pytest.param("onednn", marks=needs_onednn), "plain"]
SHAPES = [(4, 6, 5, 16), (3, 4, 4, 5), (4, 5, 3, 1), (2, 1, 1, 7), (8, 3)]


def example(shape):
    keys = jax.random.split(jax.random.key(1), 4)
    # A mean far from zero: a variance of one pass would lose its digits.
    x = 30 + jax.random.normal(keys[0], shape)
    scale, bias = (jax.random.normal(key, shape[-1:]) for key in keys[1:3])
    running = {"mean": jnp.full(shape[-1:], 2.0), "var": jnp.full(shape[-1:], 3.0)}
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": running}
    return variables, x, jax.random.normal(keys[3], shape)


def run(module, variables, x, cotangent, after=lambda y: y):
    def loss(params, x):
        y, new = module.apply({**variables, "params": params}, x, mutable=["batch_stats"])
        y = after(y)
        return jnp.sum(y * cotangent), (y, new["batch_stats"])

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, (y, new)), (dparams, dx) = gradient(variables["params"], x)
    return {"y": y, "dx": dx, **dparams, **new}


@pytest.mark.parametrize("which", KERNELS)
@pytest.mark.parametrize("act", ["", "relu", "silu"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_equals_flax(which, act, shape):
    variables, x, cotangent = example(shape)
    flax = nn.BatchNorm(use_running_average=False, momentum=0.9, use_fast_variance=False)
    after = {"": lambda y: y, "relu": nn.relu, "silu": nn.silu}[act]
    wanted = run(flax, variables, x, cotangent, after)
    with kernels.chosen(which):
        ours = run(BatchNorm(True, name="bn", act=act), variables, x, cotangent)
    for name, array in wanted.items():
        np.testing.assert_allclose(ours[name], array, rtol=2e-4, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("which", KERNELS)
def test_training_equals_the_definition(which):
    variables, x, _ = example((4, 6, 5, 16))
    with kernels.chosen(which):
        y, new = BatchNorm(True, name="bn", act="relu").apply(variables, x, mutable=["batch_stats"])
    wide = np.asarray(x, np.float64)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    params = jax.tree.map(np.asarray, variables["params"])
    wanted = (wide - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, np.maximum(wanted, 0), atol=2e-5)
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.9 * 2 + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9 * 3 + 0.1 * var, rtol=1e-4)


@pytest.mark.parametrize("which", KERNELS)
def test_evaluation_uses_the_running_statistics(which):
    variables, x, _ = example((4, 6, 5, 16))
    with kernels.chosen(which):
        y = BatchNorm(False, name="bn", act="relu").apply(variables, x)
    params = variables["params"]
    wanted = (x - 2) / np.sqrt(3 + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, np.maximum(wanted, 0), atol=1e-4)


def test_initialisation_leaves_the_running_statistics_alone():
    variables = BatchNorm(True, name="bn").init(jax.random.key(0), 5 + jnp.ones((2, 3, 3, 4)))
    assert (variables["batch_stats"]["mean"] == 0).all()
    assert (variables["batch_stats"]["var"] == 1).all()


def test_accelerators_get_no_foreign_call():
    variables, x, _ = example((4, 6, 5, 16))
    module = BatchNorm(True, name="bn", act="relu")
    step = jax.jit(lambda v, x: module.apply(v, x, mutable=["batch_stats"])[0])
    text = step.trace(variables, x).lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text


def test_statistics_of_bfloat16_features_are_float32():
    variables, x, _ = example((4, 6, 5, 16))
    module = BatchNorm(True, name="bn", dtype=jnp.bfloat16)
    y, new = module.apply(variables, x.astype(jnp.bfloat16), mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert new["batch_stats"]["var"].dtype == jnp.float32
