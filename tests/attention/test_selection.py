"""Hard gates inside a mechanism: noise, limits, temperatures that fall, penalties."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import attention
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import select
from chanattn.errors import UsageError

X = jax.random.normal(jax.random.key(0), (4, 5, 6, 16)) + 0.5
LOGITS = jax.random.normal(jax.random.key(1), (3, 12))
MANY = jnp.broadcast_to(jnp.array([-1.5, 0.0, 0.7]), (20_000, 3))


def run(name: str, train: bool, seed: int = 0, **options: Any) -> Any:
    """Weights and the new state of a mechanism on X."""
    module = attention.create(name, **options)
    variables = module.init(jax.random.key(1), X)
    collections = ["attention", "losses", "batch_stats"]
    rngs = {"dropout": jax.random.key(seed)} if train else {}
    _, state = module.apply(variables, X, train=train, mutable=collections, rngs=rngs)
    return np.asarray(state["attention"]["weights"]), state


def test_gumbel_sigmoid_opens_with_the_probability_of_the_sigmoid() -> None:
    weights = select.gumbel_sigmoid(MANY, jax.random.key(3), temperature=0.3)
    assert set(np.unique(weights)) == {0, 1}
    np.testing.assert_allclose(weights.mean(0), 1 / (1 + np.exp(-MANY[0])), atol=0.015)


def test_gumbel_softmax_draws_with_the_probability_of_the_softmax() -> None:
    weights = np.asarray(select.gumbel_softmax(MANY, jax.random.key(3), temperature=0.3))
    assert set(np.unique(weights)) == {0, 3}
    expected = np.exp(MANY[0]) / np.exp(MANY[0]).sum()
    np.testing.assert_allclose(weights.mean(0) / 3, expected, atol=0.015)


def test_hard_concrete_is_open_as_often_as_its_penalty_believes() -> None:
    weights = select.hard_concrete(MANY, jax.random.key(3))
    assert weights.min() == 0
    assert weights.max() == 1
    believed = select.concrete_open_probability(MANY[0])
    np.testing.assert_allclose((weights > 0).mean(0), believed, atol=0.015)
    # Equation 12 of the paper, written out.
    expected = 1 / (1 + np.exp(-(np.asarray(MANY[0]) - 2 / 3 * np.log(0.1 / 1.1))))
    np.testing.assert_allclose(believed, expected, rtol=1e-5)


def test_random_k_keeps_k_whatever_the_logits_and_changes_only_in_training() -> None:
    kept = [np.asarray(select.random_k(LOGITS, jax.random.key(s), 0.25)) for s in (0, 1)]
    for weights in kept:
        np.testing.assert_array_equal(np.sort(weights, -1)[:, -3:], 4.0)
        np.testing.assert_array_equal((weights > 0).sum(-1), 3)
    assert not np.array_equal(*kept)
    still = select.random_k(LOGITS, None, 0.25)
    np.testing.assert_array_equal(still, select.random_k(-LOGITS, None, 0.25))
    np.testing.assert_array_equal(still, np.broadcast_to(still[0], still.shape))


class Blocks(nn.Module):
    """Three gates that see the same map."""

    gate: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> None:
        for name in ("first", "second", "third"):
            attention.create("channel", gate=self.gate, name=name)(x, train=train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("gate", ["random_k", "top_k", "argmax", "gumbel_softmax"])
def test_where_logits_do_not_decide_each_block_chooses_for_itself(gate: str, train: bool) -> None:
    x = jnp.zeros((4, 2, 2, 16))  # the bottleneck's units are off, and its biases start at zero
    module, rngs = Blocks(gate), {"dropout": jax.random.key(3)}
    variables = module.init({"params": jax.random.key(1), **rngs}, x, False)
    _, sown = module.apply(variables, x, train, mutable=["attention"], rngs=rngs)
    first, second, third = (np.asarray(w) > 0 for w in jax.tree.leaves(sown["attention"]))
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert not np.array_equal(first, third)
    random = train and gate in ("random_k", "gumbel_softmax")
    for kept in (first, second, third):
        assert np.array_equal(kept, kept[:1].repeat(4, 0)) != random


def test_without_noise_the_sampled_gates_decide_by_the_logits() -> None:
    np.testing.assert_array_equal(select.gumbel_sigmoid(LOGITS), LOGITS > 0)
    np.testing.assert_array_equal(select.gumbel_softmax(LOGITS), select.argmax(LOGITS))
    soft = 1 / (1 + np.exp(-np.asarray(LOGITS)))
    np.testing.assert_allclose(
        select.hard_concrete(LOGITS), np.clip(1.2 * soft - 0.1, 0, 1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["gumbel_sigmoid", "gumbel_softmax"])
def test_straight_through_has_the_gradient_of_the_relaxed_sample(name: str) -> None:
    function = getattr(select, name)
    g = jax.random.normal(jax.random.key(5), LOGITS.shape)

    def gradient(relaxed: bool) -> jax.Array:
        def scalar(z: jax.Array) -> jax.Array:
            return jnp.sum(g * function(z, jax.random.key(2), temperature=0.7, relaxed=relaxed))

        return jax.grad(scalar)(LOGITS)

    assert np.abs(gradient(False)).max() > 1e-3
    np.testing.assert_allclose(gradient(False), gradient(True), rtol=1e-6)


@pytest.mark.parametrize("name", ["gumbel_sigmoid", "gumbel_softmax"])
def test_a_cold_relaxed_sample_is_the_hard_one(name: str) -> None:
    function, key = getattr(select, name), jax.random.key(2)
    cold = function(LOGITS, key, temperature=1e-4, relaxed=True)
    np.testing.assert_allclose(cold, function(LOGITS, key), atol=1e-4)


def test_softmax_from_hot_to_cold_goes_from_no_gate_to_argmax() -> None:
    np.testing.assert_allclose(gates.softmax(LOGITS, 1e6), np.ones_like(LOGITS), atol=1e-4)
    np.testing.assert_allclose(gates.softmax(LOGITS, 1e-4), select.argmax(LOGITS), atol=1e-4)


@pytest.mark.parametrize("gate", gates.HARD)
def test_any_logits_take_any_hard_gate(gate: str) -> None:
    weights, _ = run("eca", False, gate=gate)
    assert weights.shape == (4, 16)
    if gate not in ("hard_concrete",):
        assert len(np.unique(weights)) <= 2


@pytest.mark.parametrize("name", ["gumbel_sigmoid", "gumbel_softmax", "hard_concrete", "random_k"])
def test_noise_is_a_function_of_the_random_stream(name: str) -> None:
    first, again, other = (run(name, True, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(run(name, False)[0], run(name, False)[0])


def test_the_temperature_falls_by_the_published_rule_and_only_in_training() -> None:
    options = {"temperature": 1.0, "anneal_rate": 0.5, "min_temperature": 0.3}
    module = attention.create("gumbel_sigmoid", relaxed=True, **options)
    state = module.init(jax.random.key(1), X)
    assert state["batch_stats"]["temperature"] == 1.0
    for step in range(1, 5):
        rngs = {"dropout": jax.random.key(step)}
        _, new = module.apply(state, X, train=True, mutable=["batch_stats"], rngs=rngs)
        state = state | {"batch_stats": new["batch_stats"]}
        expected = max(0.3, np.exp(-0.5 * step))
        np.testing.assert_allclose(state["batch_stats"]["temperature"], expected, rtol=1e-6)
    _, evaluated = module.apply(state, X, mutable=["batch_stats"])
    assert evaluated["batch_stats"]["temperature"] == state["batch_stats"]["temperature"]


def test_the_temperature_that_was_reached_is_the_one_that_acts() -> None:
    module = attention.create("se", gate="softmax", anneal_rate=0.1)
    state = module.init(jax.random.key(1), X)
    for reached in (1.0, 1e-4):
        state["batch_stats"]["temperature"] = jnp.float32(reached)
        _, sown = module.apply(state, X, mutable=["attention"])
        logits_gate = gates.get("softmax", temperature=reached)
        plain = attention.create("se", gate=logits_gate)
        _, expected = plain.apply({"params": state["params"]}, X, mutable=["attention"])
        np.testing.assert_allclose(sown["attention"]["weights"], expected["attention"]["weights"])


@pytest.mark.parametrize("name", ["gumbel_sigmoid", "hard_concrete"])
def test_the_penalty_asks_for_the_rate(name: str) -> None:
    _, state = run(name, True, rate=0.25, rate_weight=3.0)
    logits_module = attention.create("se", gate="linear")
    variables = logits_module.init(jax.random.key(1), X)
    _, sown = logits_module.apply(variables, X, mutable=["attention"])
    z = np.asarray(sown["attention"]["weights"], np.float64)
    shift = 2 / 3 * np.log(0.1 / 1.1) if name == "hard_concrete" else 0
    expected = 3.0 * ((1 / (1 + np.exp(-(z - shift)))).mean() - 0.25) ** 2
    np.testing.assert_allclose(state["losses"]["rate"], expected, rtol=1e-5)
    assert "losses" not in run(name, False)[1]
    assert attention.extra_losses(name, {}) == ("rate",)
    assert attention.extra_losses(name, {"rate_weight": 0.0}) == ()
    assert not run(name, True, rate_weight=0.0)[1].get("losses")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.5}, "gate 'sigmoid' takes no option 'fraction'; it takes none"),
        ({"gate": "top_k", "rate": 0.5}, "gate 'top_k' takes no option 'rate'; it takes: fraction"),
        ({"gate": "top_k", "fraction": 0.0}, r"fraction must be in \(0, 1\], not 0.0"),
        ({"gate": "argmax", "temperature": -1.0}, "temperature must be positive, not -1.0"),
        ({"gate": "argmax", "anneal_rate": -1.0}, "anneal_rate must be 0 or positive"),
        (
            {"gate": "softmax", "min_temperature": 0.5},
            "softmax: anneal_rate=0 leaves nothing to say to min_temperature=0.5; leave it out",
        ),
        (
            {"gate": "gumbel_sigmoid", "rate": 0.3, "rate_weight": 0.0},
            "rate_weight=0 leaves nothing to say to rate=0.3",
        ),
        (
            {"gate": "softmax", "anneal_rate": 0.1, "min_temperature": 2.0},
            "min_temperature 2.0 is above the temperature 1.0",
        ),
        ({"gate": "gumbel_sigmoid", "rate": 0.0}, r"rate must be in \(0, 1\]"),
        ({"gate": "gumbel"}, "unknown gate 'gumbel'; valid: sigmoid"),
    ],
)
def test_bad_options_of_gates_get_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create("se", **options)
    assert "\n" not in str(error.value)


def test_a_named_selection_takes_the_options_of_its_gate_alone() -> None:
    assert "fraction" in attention.describe("top_k").options
    assert "gate" not in attention.describe("top_k").options
    with pytest.raises(UsageError, match="'argmax' takes no option 'fraction'"):
        attention.create("argmax", fraction=0.5)
