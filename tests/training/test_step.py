"""The training step: what it computes, and of what it is a function."""

import dataclasses
import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn import attention
from chanattn.runs.metric import Metric
from chanattn.tasks import Task
from chanattn.tasks.classification import Classification
from chanattn.training.evaluator import Evaluator
from chanattn.training.optimizer import make_optimizer
from chanattn.training.state import Totals, compile_beside, create_state, make_init, means
from chanattn.training.step import make_train_step

RNG = np.random.default_rng(0)
FEED = {
    "image": RNG.normal(size=(8, 6, 6, 3)).astype(np.float32),
    "label": RNG.integers(5, size=8).astype(np.int32),
    "mask": np.ones(8, np.float32),
}


@pytest.fixture
def build(tiny_net, mesh, optimizer_config):
    """`build(...) -> (step, state)` of the tiny network."""

    def build(
        *,
        model=None,
        dropout=0.0,
        dtype=jnp.float32,
        ema_decay=0.0,
        prepare=None,
        rate=0.1,
        task=None,
        **options,
    ):
        model, task = model or tiny_net(dropout, dtype), task or Classification(0.1)

        def schedule(step):
            return rate / (1 + step)

        optimizer = make_optimizer(optimizer_config, schedule)
        state = create_state(
            make_init(model, optimizer, task, (6, 6, 3), ema=ema_decay > 0, mesh=mesh), 1
        )
        step = make_train_step(
            model,
            optimizer,
            schedule,
            task,
            prepare or (lambda feed, step, key: feed),
            mesh=mesh,
            ema_decay=ema_decay,
            **{"seed": 1, **options},
        )
        return step, state

    return build


def run(step, state, steps):
    windows = []
    for _ in range(steps):
        state, window = step(state, FEED)
        windows.append(jax.device_get(window))
    return jax.device_get(state), windows


def assert_equal(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_loss_falls_and_the_step_is_compiled_once(build):
    traced = []
    step, state = build(prepare=lambda feed, step, key: traced.append(step) or feed)
    state, windows = run(step, state, 30)
    assert windows[-1].means()["loss"] < 0.7 * windows[0].means()["loss"]
    assert state.step == 30
    assert len(traced) == 1


def test_step_is_gradient_descent_on_the_mean_loss(build, tiny_net):
    step, state = build()
    before = jax.device_get(state)

    def loss(params):
        (logits, _), _ = tiny_net().apply(
            {"params": params, "batch_stats": before.batch_stats},
            FEED["image"],
            train=True,
            mutable=["batch_stats"],
        )
        target = optax.smooth_labels(jax.nn.one_hot(FEED["label"], 5), 0.1)
        return optax.softmax_cross_entropy(logits, target).mean()

    value, grads = jax.value_and_grad(loss)(before.params)
    after, (window,) = run(step, state, 1)
    norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in jax.tree.leaves(grads)))
    np.testing.assert_allclose(window.means()["loss"], value, rtol=1e-6)
    np.testing.assert_allclose(window.means()["grad_norm"], norm, rtol=1e-5)
    bias = before.params["classifier"]["bias"] - 0.1 * 1.9 * grads["classifier"]["bias"]
    np.testing.assert_allclose(after.params["classifier"]["bias"], bias, rtol=1e-5, atol=1e-7)


def test_moving_average_covers_parameters_and_batch_statistics(build):
    step, state = build(ema_decay=0.8)
    expected = jax.device_get(state.weights)
    for _ in range(3):
        state, _ = step(state, FEED)
        weights = jax.device_get(state.weights)
        expected = jax.tree.map(lambda e, w: 0.8 * e + 0.2 * w, expected, weights)
    assert_equal(jax.device_get(state.ema), expected, rtol=1e-5, atol=1e-7)


def test_window_sums_metrics_since_the_last_log_point(build):
    every_step = run(*build(), 5)[1]
    windows = run(*build(log_every=3), 5)[1]
    for last, part in ((2, every_step[:3]), (4, every_step[3:])):
        for name, mean in windows[last].means().items():
            expected = np.mean([window.means()[name] for window in part])
            np.testing.assert_allclose(mean, expected, rtol=1e-5)
    assert windows[2].totals.exact()["loss"][1] == 24
    np.testing.assert_allclose(every_step[4].means()["learning_rate"], 0.1 / 5, rtol=1e-6)


def test_randomness_depends_on_seed_and_step_alone(build):
    seen = []

    def prepare(feed, step, key):
        noise = jax.random.normal(key, feed["image"].shape)
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), noise[0, 0, 0, 0], ordered=True)
        return feed | {"image": feed["image"] + noise}

    step, state = build(dropout=0.5, prepare=prepare)
    straight, _ = run(step, state, 4)
    step, state = build(dropout=0.5, prepare=prepare)
    half, _ = run(step, state, 2)
    resumed, _ = run(step, jax.tree.map(jnp.asarray, half), 2)
    assert_equal(resumed, straight, rtol=0)
    jax.effects_barrier()
    assert len(set(map(float, seen[:4]))) == 4
    assert seen[:4] == seen[4:]


def test_dropout_differs_from_step_to_step(build):
    step, state = build(dropout=0.5)
    frozen = jax.device_get(state)
    losses = []
    for number in range(3):
        state = jax.tree.map(jnp.asarray, dataclasses.replace(frozen, step=np.int32(number)))
        losses.append(step(state, FEED)[1].means()["loss"])
    assert len(set(losses)) == 3


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_batches_normalised_by_parts(build, tiny_net, parts):
    """The reference: one network application a part, losses averaged, running statistics in turn."""
    step, state = build(accumulate=parts)
    before = jax.device_get(state)

    def loss(params):
        total, stats = 0.0, before.batch_stats
        for i in range(parts):
            rows = slice(i, None, parts)
            (logits, _), new = tiny_net().apply(
                {"params": params, "batch_stats": stats},
                FEED["image"][rows],
                train=True,
                mutable=["batch_stats"],
            )
            stats = new["batch_stats"]
            target = optax.smooth_labels(jax.nn.one_hot(FEED["label"][rows], 5), 0.1)
            total += optax.softmax_cross_entropy(logits, target).mean() / parts
        return total, stats

    (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(before.params)
    after, (window,) = run(step, state, 1)
    np.testing.assert_allclose(window.means()["loss"], value, rtol=1e-6)
    assert window.totals.exact()["loss"][1] == 8
    assert_equal(after.batch_stats, jax.device_get(stats), rtol=1e-5)
    bias = before.params["classifier"]["bias"] - 0.1 * 1.9 * grads["classifier"]["bias"]
    np.testing.assert_allclose(after.params["classifier"]["bias"], bias, rtol=1e-5, atol=1e-7)


class Annealed(nn.Module):
    """A gate whose temperature falls, beside a norm, whose statistics run."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(not train, momentum=0.9, name="norm")(x)
        gate = attention.create("se", gate="softmax", anneal_rate=0.1, name="attention")
        return nn.Dense(5)(gate(x, train=train).mean(axis=(1, 2))), {}


def test_a_temperature_falls_once_a_step_and_no_average_is_made_of_it(build):
    reached = []
    for parts in (1, 4):
        step, state = build(model=Annealed(), accumulate=parts, ema_decay=0.5)
        state, _ = run(step, state, 3)
        reached.append(state.batch_stats["attention"]["temperature"])
        assert state.ema["batch_stats"]["attention"]["temperature"] == reached[-1]
        averaged, last = state.ema["batch_stats"]["norm"], state.batch_stats["norm"]
        assert np.abs(averaged["var"] - last["var"]).max() > 1e-3
    np.testing.assert_allclose(reached, np.exp(-0.3), rtol=1e-6)


def test_sums_and_counts_of_metrics_stay_exact_beyond_the_digits_of_a_float32():
    totals, batch = Totals.zero(("loss", "top1")), (np.float32(3), np.float32(5))
    far = 2.0**30  # where a float32 goes on in steps of 64 and more
    totals = totals.add({"loss": (np.float32(far), np.float32(far)), "top1": batch})
    add = jax.jit(Totals.add)
    for _ in range(20):
        totals = add(totals, {"loss": batch, "top1": batch})
    assert totals.exact() == {"loss": (far + 60, far + 100), "top1": (63, 105)}
    assert totals.means()["loss"] == (far + 60) / (far + 100)
    infinite = add(totals, {"loss": (np.float32(np.inf), np.float32(1)), "top1": batch})
    assert infinite.means()["loss"] == np.inf


def test_an_evaluation_counts_every_example_of_more_than_a_float32_can(mesh):
    class Sums(Classification):
        metrics = (Metric("loss", "loss", "nats", higher_is_better=False),)

        def measure(self, outputs, batch):
            matrix = jnp.full((2, 2), batch["count"], jnp.int32)
            return {"loss": (batch["sum"], batch["count"]), "matrix": matrix}

        def results(self, totals, answers, class_names):
            assert answers is None
            return totals

    counts = [2**24] + [1] * 9
    feeds = [{"sum": np.float32(c), "count": np.float32(c)} for c in counts]
    data = evaluation_data(
        feeds, lambda feed: feed | {"image": jnp.zeros((1, 1, 1, 3)), "mask": jnp.ones(1)}
    )
    model = SimpleNamespace(apply=lambda weights, image, train: (image, {}))
    found = Evaluator(model, Sums(), data, mesh)({})
    assert found["examples"] == len(counts)
    assert found["loss"] == [2**24 + 9, 2**24 + 9]
    np.testing.assert_array_equal(found["matrix"], np.full((2, 2), 2**24 + 9))


def evaluation_data(feeds, prepare=lambda feed: feed, num_corrupt=0):
    """What `Evaluation` needs of data: feeds, each of as many examples as its mask holds ones."""
    number = sum(int(np.sum(prepare(feed)["mask"])) for feed in feeds)
    return SimpleNamespace(
        feeds=lambda: iter(feeds),
        prepare=prepare,
        num_examples=number,
        num_corrupt=num_corrupt,
        class_names=tuple("abcde"),
    )


@dataclasses.dataclass(frozen=True)
class TwoTerms(Task):
    """A sum over examples, and one over the valid of four values an example, whose numbers differ."""

    metrics = (Metric("loss", "loss", "", higher_is_better=False),)
    terms = ("fit", "valid")

    def targets(self, batch):
        valid = jnp.arange(4) < (batch["label"] % 4)[:, None]
        return batch | {"valid": valid.astype(jnp.float32)}

    def weights(self, batch):
        return {"valid": batch["valid"].sum()}

    def loss(self, outputs, batch):
        fit = (outputs[:, 0] - 1) ** 2
        valid = ((outputs[:, 1:] - 2) ** 2 * batch["valid"]).sum(axis=1)
        return {"fit": fit.sum(), "valid": valid.sum()}

    def measure(self, outputs, batch):
        return {}

    def results(self, totals, answers, class_names):
        return {"loss": None}


class Pixels(nn.Module):
    """Five numbers an example, without a norm, so that parts of a batch know nothing of each other."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(5)(x.mean(axis=(1, 2))), {}


def test_terms_of_a_loss_are_divided_by_the_weight_of_the_whole_batch_however_it_is_cut(build):
    states, logged = [], []
    for parts in (1, 2, 4):
        step, state = build(model=Pixels(), task=TwoTerms(), accumulate=parts)
        start = jax.device_get(state.params)
        state, (window,) = run(step, state, 1)
        states.append(state.params)
        logged.append(window.means())
    for params, means_ in zip(states[1:], logged[1:], strict=True):
        assert_equal(params, states[0], rtol=1e-5, atol=1e-7)
        assert means_ == pytest.approx(logged[0], rel=1e-5)

    outputs = np.asarray(Pixels().apply({"params": start}, FEED["image"])[0], np.float64)
    valid = np.arange(4) < (FEED["label"] % 4)[:, None]
    fit = ((outputs[:, 0] - 1) ** 2).mean()
    error = ((outputs[:, 1:] - 2) ** 2)[valid].mean()
    expected = {"fit": fit, "valid": error, "loss": fit + error}
    assert {name: logged[0][name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_convolutions_are_never_inside_a_loop(build):
    step, state = build(accumulate=4)
    text = step.lower(state, FEED).as_text()
    assert text.count("stablehlo.convolution") >= 8
    assert "stablehlo.while" not in text


def test_first_bad_step_is_remembered(build):
    def prepare(feed, step, key):
        return feed | {"image": jnp.where(step == 3, jnp.nan, feed["image"])}

    step, state = build(prepare=prepare, log_every=100)
    _, windows = run(step, state, 6)
    assert [int(w.first_bad_step) for w in windows] == [0, 0, 0, 4, 4, 4]


def test_an_update_that_overflows_counts_as_bad_before_the_loss_shows_it(build):
    step, state = build(rate=1e38)
    _, window = step(state, FEED)
    assert np.isfinite(window.means()["loss"])
    assert int(window.first_bad_step) == 1


def test_bfloat16_network_keeps_float32_loss_parameters_and_statistics(build):
    step, state = build(dtype=jnp.bfloat16, ema_decay=0.9)
    text = step.lower(state, FEED).as_text()
    assert any("convolution" in line and "bf16" in line for line in text.splitlines())
    state, windows = run(step, state, 2)
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state.weights, state.ema, windows[0].totals))}
    assert kinds == {np.dtype(np.float32)}


def test_evaluation_adds_masked_batches_and_uses_running_statistics(build, tiny_net, mesh):
    _, state = build()
    task = Classification(0.1)
    logits, _ = tiny_net().apply(state.weights, FEED["image"], train=False)
    expected = means(task.measure(logits, jax.tree.map(jnp.asarray, FEED)))
    half = {name: np.concatenate([a[:4], a[:4]]) for name, a in FEED.items()}
    rest = {name: np.concatenate([a[4:], a[:4]]) for name, a in FEED.items()}
    half["mask"] = rest["mask"] = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.float32)
    data = evaluation_data([half, rest])
    evaluation = Evaluator(tiny_net(), task, data, mesh)
    assert evaluation(state.weights) == pytest.approx(expected | {"examples": 8}, rel=1e-6)
    data.num_examples = 9
    with pytest.raises(RuntimeError, match="8 of 9 examples"):
        evaluation(state.weights)


def test_answers_are_those_of_the_real_examples_in_their_order(build, tiny_net, mesh):
    _, state = build()
    half = {name: np.concatenate([a[:4], a[:4]]) for name, a in FEED.items()}
    half["mask"] = np.array([1, 0, 1, 1, 0, 0, 0, 0], np.float32)
    data = evaluation_data([half, FEED])
    plain = Evaluator(tiny_net(), Classification(), data, mesh)(state.weights)
    found = Evaluator(tiny_net(), Classification(), data, mesh, answers=True)(state.weights)
    assert {name: found[name] for name in plain} == plain
    logits, _ = tiny_net().apply(state.weights, FEED["image"], train=False)
    label = np.concatenate([FEED["label"][[0, 2, 3]], FEED["label"]])
    predicted = np.concatenate([logits[np.array([0, 2, 3])], logits]).argmax(axis=1)
    expected = np.zeros((5, 5), int)
    np.add.at(expected, (label, predicted), 1)
    np.testing.assert_array_equal(found["confusion_matrix"], expected)


def test_what_a_task_gives_of_numpy_becomes_json_and_what_is_not_finite_nothing(mesh):
    class Odd(Classification):
        def results(self, totals, answers, class_names):
            found = {"top1": np.float32(0.5), "top5": float("nan"), "loss": jnp.float32(np.inf)}
            return found | {"matrix": np.eye(2, dtype=int), "per_class_x": {1: np.float64(2)}}

    model = SimpleNamespace(apply=lambda weights, image, train: (jnp.ones((8, 5)), {}))
    found = Evaluator(model, Odd(), evaluation_data([FEED]), mesh)({})
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        **{"examples": 8, "top1": 0.5, "top5": None, "loss": None},
        **{"matrix": [[1, 0], [0, 1]], "per_class_x": {"1": 2.0}},
    }
    Odd.results = lambda *given: {"top5": 1.0}
    with pytest.raises(RuntimeError, match=r"Odd\.results gives no top1, loss"):
        Evaluator(model, Odd(), evaluation_data([FEED]), mesh)({})


def test_an_evaluation_that_is_told_to_stop_gives_nothing(build, tiny_net, mesh):
    _, state = build()
    asked = iter([False, True])
    evaluation = Evaluator(tiny_net(), Classification(), evaluation_data([FEED] * 3), mesh)
    assert evaluation(state.weights, lambda: next(asked)) is None
    assert next(asked, "both were asked") == "both were asked"


def test_runs_that_differ_in_their_seed_alone_share_one_program_and_not_their_noise(build):
    texts, losses = set(), set()
    for seed in (1, 2):
        step, state = build(dropout=0.5, seed=seed)
        texts.add(step.lower(state, FEED).as_text())
        losses.add(run(step, state, 1)[1][0].means()["loss"])
    assert len(texts) == 1
    assert len(losses) == 2


def test_a_state_compiled_by_another_thread_is_that_of_the_seed(tiny_net, mesh, optimizer_config):
    optimizer = make_optimizer(optimizer_config, lambda step: 0.1)
    init = make_init(tiny_net(), optimizer, Classification(), (6, 6, 3), ema=True, mesh=mesh)
    create = compile_beside(init)
    for seed in (3, 4):
        assert_equal(create(seed), create_state(init, seed), rtol=0)


def test_what_fails_in_the_thread_that_compiles_is_an_error_of_whoever_waits():
    def fail():
        raise MemoryError("no room")

    init = SimpleNamespace(lower=lambda seed: SimpleNamespace(compile=fail))
    with pytest.raises(MemoryError, match="no room"):
        compile_beside(init)(0)
