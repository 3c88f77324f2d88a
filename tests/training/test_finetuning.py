"""What is frozen stays as it is to the bit; learning rates by layer, derived again in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.tasks.classification import Classification
from chanattn.training import finetuning
from chanattn.training.optimizer import decay_mask, make_optimizer
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step

RNG = np.random.default_rng(0)
MODEL = models.create("resnet8", num_classes=5, attention={"name": "se", "reduction": 8})
FEED = {
    "image": RNG.normal(1, 2, size=(8, 8, 8, 3)).astype(np.float32),
    "label": RNG.integers(5, size=8).astype(np.int32),
    "mask": np.ones(8, np.float32),
}


@pytest.fixture(scope="module")
def params():
    image = jnp.zeros((1, 8, 8, 3))
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), image)["params"]
    return jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), shapes)


def named(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        (("stem",), lambda name: name.startswith("stem/")),
        (("stage2",), lambda name: name.startswith("stage2_block1/")),
        (("backbone",), lambda name: not name.startswith("classifier/")),
        (("head",), lambda name: name.startswith("classifier/")),
        (("stage1_block1",), lambda name: name.startswith("stage1_block1/")),
        (("*/bn?",), lambda name: "/bn" in name),
        (("*attention*",), lambda name: "attention" in name),
        (
            ("stem/conv1/kernel", "stage*_block1/conv1"),
            lambda name: "conv1" in name and "att" not in name,
        ),
        (
            ("backbone", "!*attention*"),
            lambda name: "classifier" not in name and "attention" not in name,
        ),
        (("head,!head", "stem, stage1"), lambda name: name.startswith(("stem/", "stage1"))),
        (("!stem", "stem"), lambda name: name.startswith("stem/")),
    ],
)
def test_words_and_patterns_mean_what_they_say(freeze, frozen, params):
    found = named(finetuning.frozen(params, freeze))
    assert any(found.values())
    assert found == {name: frozen(name) for name in found}
    finetuning.check_freeze(params, freeze)
    trained = sum(leaf.size for name, leaf in named(params).items() if not frozen(name))
    assert finetuning.trainable(params, freeze) == trained


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (
            ("steam",),
            r"'steam' is no part of this network \(stem, stage1, stage2, stage3, head, backbone\).*'stem'",
        ),
        (("stem", "stage4"), r"'stage4' is no part"),
        (("stage1_blok1",), r"Did you mean 'stage1_block1'"),
        (("stem", "!*gate*"), r"'\*gate\*' is no part"),
        (("backbone", "head"), "leaves nothing to be trained"),
        (("*",), "leaves nothing to be trained"),
    ],
)
def test_what_freezes_nothing_or_everything_is_refused(freeze, message, params):
    with pytest.raises(UsageError, match=message) as caught:
        finetuning.check_freeze(params, freeze)
    assert "\n" not in str(caught.value)


# Layers of ResNet-8: stem 0, its blocks 1 to 3, head 4.
DEPTH = {"stem": 0, "stage1_block1": 1, "stage2_block1": 2, "stage3_block1": 3, "classifier": 4}
NEW = ("classifier/kernel", "stage2_block1/attention/mix/reduce/kernel")


def test_rates_fall_from_layer_to_layer_and_are_others_for_what_is_new(params):
    found = named(finetuning.rate_factors(params, 0.5, NEW, 10.0))
    for name, factor in found.items():
        wanted = 0.5 ** (4 - DEPTH[name.split("/")[0]]) * (10 if name in NEW else 1)
        assert factor == pytest.approx(wanted), name


def reference(method, o, params, grads, factor):
    """One parameter's two steps, in float64 from the papers' equations; PyTorch's groups have a rate each."""
    p, memory = params.astype(np.float64), {"v": 0.0, "m": 0.0, "s": 0.0}
    rate = o.learning_rate * factor
    decay = o.weight_decay if p.ndim > 1 else 0.0
    for t, g in enumerate(grads, 1):
        g = g.astype(np.float64)
        if method == "sgd":
            g = g + decay * p
            memory["v"] = o.momentum * memory["v"] + g
            p = p - rate * (g + o.momentum * memory["v"])
            continue
        memory["m"] = o.beta1 * memory["m"] + (1 - o.beta1) * g
        memory["s"] = o.beta2 * memory["s"] + (1 - o.beta2) * g * g
        step = memory["m"] / (1 - o.beta1**t) / (np.sqrt(memory["s"] / (1 - o.beta2**t)) + o.eps)
        step = step + decay * p
        if method == "lamb":
            step = step * np.linalg.norm(p) / np.linalg.norm(step)
        p = p - rate * step
    return p


@pytest.fixture(scope="module")
def few():
    """A parameter or two of every layer."""
    shapes = {
        "stem": {"conv1": {"kernel": (2, 3)}},
        "stage1_block1": {"conv1": {"kernel": (3, 3)}, "bn1": {"scale": (3,)}},
        "stage2_block1": {"attention": {"mix": {"reduce": {"kernel": (3, 2), "bias": (2,)}}}},
        "stage3_block1": {"conv2": {"kernel": (3, 4)}},
        "classifier": {"kernel": (4, 5), "bias": (5,)},
    }
    return jax.tree.map(
        lambda shape: RNG.normal(size=shape).astype(np.float32),
        shapes,
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("method", ["sgd", "adamw", "lamb"])
def test_every_optimizer_makes_the_steps_of_its_layer(method, clip, few, optimizer_config):
    """Where the stem is frozen, the norm that clips is that of the other gradients."""
    o = optimizer_config.optimizer
    o.update(name=method, clip_norm=clip, freeze=("stem",), layer_decay=0.5, new_factor=3.0)
    grads = [
        jax.tree.map(lambda p: RNG.normal(size=p.shape).astype(np.float32), few) for _ in range(2)
    ]
    optimizer = make_optimizer(optimizer_config, lambda step: o.learning_rate, NEW)
    state, now = optimizer.init(few), few
    for each in grads:
        updates, state = optimizer.update(each, state, now)
        now = optax.apply_updates(now, updates)
    flat = [named(each) for each in grads]
    norms = [
        np.sqrt(sum((g.astype(np.float64) ** 2).sum() for n, g in each.items() if "stem" not in n))
        for each in flat
    ]
    scales = [min(1, clip / norm) if clip else 1.0 for norm in norms]
    for name, before in named(few).items():
        after = named(now)[name]
        if name.startswith("stem"):
            np.testing.assert_array_equal(after, before)
            continue
        factor = 0.5 ** (4 - DEPTH[name.split("/")[0]]) * (3 if name in NEW else 1)
        scaled = [each[name] * scale for each, scale in zip(flat, scales, strict=True)]
        wanted = reference(method, o, before, scaled, factor)
        np.testing.assert_allclose(after, wanted, rtol=1e-5, atol=2e-6, err_msg=name)


def test_what_is_frozen_has_no_state_and_by_default_there_is_none_for_these_fields(
    params, optimizer_config
):
    def state_of(**fields):
        optimizer_config.optimizer.update(
            {"name": "adamw", "freeze": (), "layer_decay": 1.0} | fields
        )
        return jax.eval_shape(make_optimizer(optimizer_config, lambda step: 0.1).init, params)

    plain = state_of()
    o = optimizer_config.optimizer
    adamw = optax.adamw(lambda step: 0.1, b1=o.beta1, b2=o.beta2, eps=o.eps, mask=decay_mask)
    assert jax.tree.structure(plain) == jax.tree.structure(jax.eval_shape(adamw.init, params))
    frozen = jax.tree.leaves(state_of(freeze=("backbone",)))
    head = sum(leaf.size for name, leaf in named(params).items() if "classifier" in name)
    assert sum(leaf.size for leaf in frozen if leaf.ndim) == 2 * head
    assert len(jax.tree.leaves(state_of(layer_decay=0.5))) == len(jax.tree.leaves(plain))


@pytest.fixture
def build(mesh, optimizer_config):
    def build(freeze, accumulate=1, ema_decay=0.5):
        optimizer_config.optimizer.update(freeze=freeze, weight_decay=0.1)
        optimizer = make_optimizer(optimizer_config, lambda step: 0.1)
        task = Classification(0.1)
        init = make_init(MODEL, optimizer, task, (8, 8, 3), ema=True, mesh=mesh)
        step = make_train_step(
            MODEL,
            optimizer,
            lambda step: 0.1,
            task,
            lambda feed, step, key: feed,
            mesh=mesh,
            seed=1,
            accumulate=accumulate,
            ema_decay=ema_decay,
            freeze=freeze,
        )
        return step, create_state(init, 1)

    return build


@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_parameters_statistics_and_averages_stay_to_the_bit(accumulate, build):
    """A norm whose scale alone is frozen is not: it learns a bias, so its statistics move."""
    step, state = build(("stem", "stage1", "stage2_block1/bn1/scale"), accumulate)
    before = jax.device_get((state.weights, state.ema))
    for _ in range(3):
        state, window = step(state, FEED)
    after = jax.device_get((state.weights, state.ema))
    for old, new in zip(map(named, before), map(named, after), strict=True):
        for name in old:
            module = name.split("/")[1]
            stays = module in ("stem", "stage1_block1") or name.endswith("stage2_block1/bn1/scale")
            same = np.array_equal(old[name], new[name])
            assert same == stays, name
    assert int(window.first_bad_step) == 0


def test_frozen_norms_normalise_by_their_statistics_and_the_norm_of_gradients_is_of_what_trains(
    build,
):
    """With all norms frozen, the loss of a training step is that of a network in inference."""
    step, state = build(("*/bn*", "stem", "stage3"))
    task = Classification(0.1)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        outputs, _ = MODEL.apply(variables, FEED["image"], train=False)
        return sum(task.loss(outputs, FEED).values()) / 8

    wanted, grads = loss(state.params)
    grads = named(grads)
    trained = [g for n, g in grads.items() if not ("/bn" in n or n.startswith(("stem", "stage3")))]
    norm = np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in trained))
    _, window = step(state, FEED)
    means = window.means()
    assert means["loss"] == pytest.approx(float(wanted), rel=1e-5)
    assert means["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_what_is_trained_and_how_fast_is_printed(params, optimizer_config):
    o = optimizer_config.optimizer
    assert list(finetuning.lines(params, o, ())) == []
    o.update(freeze=("stem",), layer_decay=0.5, new_factor=10.0)
    trained, rates = finetuning.lines(params, o, NEW)
    assert trained.endswith("frozen: stem")
    assert f"{finetuning.trainable(params, ('stem',)):,}" in trained
    assert (
        rates == "  learning rate times: stage1 0.125, stage2 0.25 to 2.5, stage3 0.5, head 1 to 10"
    )
