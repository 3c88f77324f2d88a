"""Optimizers against PyTorch's update rules, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn import attention, models
from chanattn.training.optimizer import decay_mask, make_optimizer

RNG = np.random.default_rng(0)
SHAPES = {"stem": {"kernel": (3, 4)}, "norm": {"scale": (4,), "bias": (4,)}}
SHAPES |= {"attention": {"squeeze": {"kernel": (4, 2), "bias": (2,)}}}


def draw():
    return jax.tree.map(
        lambda shape: RNG.normal(size=shape), SHAPES, is_leaf=lambda x: isinstance(x, tuple)
    )


PARAMS, GRADS = draw(), [draw() for _ in range(4)]


def train(config):
    optimizer = make_optimizer(config, lambda step: config.optimizer.learning_rate * (1 + step))
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = optimizer.init(params)
    for grads in GRADS:
        updates, state = optimizer.update(jax.tree.map(jnp.asarray, grads), state, params)
        params = optax.apply_updates(params, updates)
    return jax.tree.leaves(params)


def reference(config, update):
    """Runs `update(parameter, gradient, decay, t, memory) -> parameter` on every leaf."""
    leaves = jax.tree.leaves(PARAMS)
    decays = [config.optimizer.weight_decay * d for d in jax.tree.leaves(MASK)]
    memory = [{} for _ in leaves]
    for t, grads in enumerate(GRADS):
        g = jax.tree.leaves(grads)
        if clip := config.optimizer.clip_norm:
            norm = np.sqrt(sum((x**2).sum() for x in g))
            g = [x * min(1, clip / norm) for x in g]
        leaves = [update(*item, t) for item in zip(leaves, g, decays, memory, strict=True)]
    return leaves


MASK = {
    "stem": {"kernel": True},
    "norm": {"scale": False, "bias": False},
    "attention": {"squeeze": {"kernel": True, "bias": False}},
}


@pytest.mark.parametrize("clip", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_is_that_of_pytorch(optimizer_config, momentum, nesterov, clip):
    o = optimizer_config.optimizer
    o.update(momentum=momentum, nesterov=nesterov, clip_norm=clip)

    def update(p, g, decay, memory, t):
        g = g + decay * p
        memory["v"] = momentum * memory["v"] + g if t else g
        direction = g + momentum * memory["v"] if nesterov else memory["v"]
        return p - o.learning_rate * (1 + t) * direction

    for ours, theirs in zip(
        train(optimizer_config), reference(optimizer_config, update), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def adam_direction(o, g, memory, t):
    memory["m"] = o.beta1 * memory.get("m", 0) + (1 - o.beta1) * g
    memory["v"] = o.beta2 * memory.get("v", 0) + (1 - o.beta2) * g**2
    m, v = memory["m"] / (1 - o.beta1 ** (t + 1)), memory["v"] / (1 - o.beta2 ** (t + 1))
    return m / (np.sqrt(v) + o.eps)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_adamw_is_that_of_pytorch(optimizer_config, clip):
    o = optimizer_config.optimizer
    o.update(name="adamw", clip_norm=clip)

    def update(p, g, decay, memory, t):
        rate = o.learning_rate * (1 + t)
        return p * (1 - rate * decay) - rate * adam_direction(o, g, memory, t)

    for ours, theirs in zip(
        train(optimizer_config), reference(optimizer_config, update), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_lamb_scales_the_step_of_a_parameter_by_its_trust_ratio(optimizer_config):
    o = optimizer_config.optimizer
    o.name = "lamb"

    def update(p, g, decay, memory, t):
        direction = adam_direction(o, g, memory, t) + decay * p
        ratio = np.linalg.norm(p) / np.linalg.norm(direction)
        return p - o.learning_rate * (1 + t) * ratio * direction

    for ours, theirs in zip(
        train(optimizer_config), reference(optimizer_config, update), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_matrices_decay_and_biases_and_norms_do_not():
    assert decay_mask(PARAMS) == MASK
    table = {"words": {"embedding": np.zeros((3, 4))}, "banded": {"bias": np.zeros((2, 2))}}
    assert not any(jax.tree.leaves(decay_mask(table)))


# What a parameter is decides, whatever its module calls it.
ONE_NUMBER_EACH = {"alpha", "beta", "bias", "gamma", "lift", "lift_bias", "scale", "theta"}
WEIGHTS_OF_SUMS = {"basis", "codewords", "kernel"}


@pytest.mark.parametrize("name", attention.names())
def test_parameters_of_a_kind_are_treated_alike_in_every_mechanism(name):
    context = {"filters": 64} if attention.describe(name).slot == "conv" else {}
    x = jax.ShapeDtypeStruct((1, 8, 8, 64), jnp.float32)
    for options in ({}, {"basis": "learned"}) if name == "fca" else ({},):
        module = attention.create(name, **context, **options)
        params = jax.eval_shape(module.init, jax.random.key(0), x).get("params", {})
        mask = decay_mask({"block": {"attention": params}})["block"]["attention"]
        decaying = set()
        for path, decays in jax.tree.leaves_with_path(mask):
            leaf = path[-1].key
            assert leaf in ONE_NUMBER_EACH | WEIGHTS_OF_SUMS, "of which kind is it?"
            assert decays == (leaf in WEIGHTS_OF_SUMS)
            if decays:
                decaying.add(jax.tree_util.keystr(path, simple=True, separator="/"))
        if not options:
            assert decaying == set(attention.describe(name).decayed())
            said = ", ".join(attention.describe(name).decayed()) or "no parameter"
            assert f"weight decay on {said}" in repr(attention.describe(name))


@pytest.mark.parametrize("name", ["se", "encnet", "dia", "sk", "splat", "epsa"])
def test_what_attention_adds_to_a_network_is_what_can_be_left_out_of_the_decay(name):
    """In the conv slot that is what weighs; its convolutions decay as those in whose place they stand."""

    def decaying(name, **options):
        model = models.create("resnet20", num_classes=10, attention=name)
        images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
        mask = decay_mask(params, **options)
        return {
            jax.tree_util.keystr(path) for path, decays in jax.tree.leaves_with_path(mask) if decays
        }

    everything, rest = decaying(name), decaying(name, attention=False)
    assert rest < everything
    if attention.describe(name).slot == "gate":
        assert rest == decaying("identity")
    else:
        assert all("attention" in path for path in everything - rest)
        assert all("conv" in path or "classifier" in path for path in rest)


def test_attention_can_be_left_out_of_the_decay(optimizer_config):
    without = MASK | {"attention": {"squeeze": {"kernel": False, "bias": False}}}
    assert decay_mask(PARAMS, attention=False) == without
    optimizer_config.optimizer.decay_attention = False
    config = optimizer_config
    optimizer = make_optimizer(config, lambda step: 1.0)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.update(zero, optimizer.init(PARAMS), PARAMS)
    moved = jax.tree.map(lambda u: bool((u != 0).any()), updates)
    assert moved == without
