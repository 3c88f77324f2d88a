"""Gates on per-channel statistics equal their reference implementations, and what is known of them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn import attention
from chanattn.attention.functional import squeeze
from chanattn.attention.grouping import default_groups
from chanattn.errors import UsageError

FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "gct_l2": ("gct", {}),
    "gct_l1": ("gct", {"norm": "l1"}),
    "gct_l1_after_relu": ("gct", {"norm": "l1", "after_relu": True}),
    "gaussian_gct_b1_thirdparty": ("gaussian_ct", {"preset": "thirdparty", "learned": True}),
    "srm": ("srm", {}),
    "lct_g4": ("lct", {"groups": 4}),
    "lct_g16_c64": ("lct", {}),
    "timm_grn_c8": ("grn", {}),
    "timm_grn_eps_c8": ("grn", {}),
    "grn_official_c16": ("grn", {}),
    "sge_g2": ("sge", {}),
    "sge_g64": ("sge", {"groups": 64}),
    "sa_shuffle_g4_c32": ("shuffle", {"groups": 4}),
    "sa_shuffle_g8_c64": ("shuffle", {"groups": 8}),
}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4, 16)) + RNG.normal(size=(3, 1, 1, 16))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def run(name: str, x: np.ndarray, params: dict[str, np.ndarray], **options: Any) -> np.ndarray:
    """Output with these parameters, by their paths."""
    state = unflatten_dict({k: jnp.asarray(v, jnp.float32) for k, v in params.items()}, sep="/")
    module = attention.create(name, **options)
    return np.asarray(jax.jit(module.apply)({"params": state}, jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    # The one batch norm, that of SRM, sees one value a picture.
    parity.check_file(golden, file, name, options, counts=lambda case, norm: case["x"].shape[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "l1"},
        {"norm": "l1", "after_relu": True},
        {"norm": "mean_var"},
        {"embedding": "linf"},
        {"gate": "one_plus_elu"},
    ],
)
def test_gct_starts_as_the_identity(options: dict[str, Any]) -> None:
    x = jnp.asarray(X, jnp.float32)
    y, _ = jax.jit(attention.create("gct", **options).init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)


def test_gct_has_its_epsilon_inside_the_mean_over_channels() -> None:
    x = 1e-3 * X
    alpha, gamma, beta = RNG.normal(size=(3, 16))
    params = {"mix/alpha": alpha, "mix/gamma": gamma, "mix/beta": beta}
    e = alpha * np.sqrt((x**2).sum((1, 2)) + 1e-5)
    code = e / np.sqrt((e**2).mean(-1, keepdims=True) + 1e-5)
    paper = np.sqrt(16) * e / np.sqrt((e**2).sum(-1, keepdims=True) + 1e-5)

    def output(n: np.ndarray) -> np.ndarray:
        return x * (1 + np.tanh(gamma * n + beta))[:, None, None]

    y = run("gct", x, params)
    np.testing.assert_allclose(y, output(code), rtol=1e-5, atol=1e-8)
    assert np.abs(y - output(paper)).max() > 1e-2 * np.abs(y).max()


@pytest.mark.parametrize("embedding", ["l2", "l1", "linf"])
@pytest.mark.parametrize("norm", ["l2", "l1", "mean_var"])
@pytest.mark.parametrize("gate", ["sigmoid", "one_plus_elu", "one_plus_tanh"])
def test_gct_follows_the_equations_of_its_ablation(norm: str, embedding: str, gate: str) -> None:
    alpha, gamma, beta = RNG.normal(size=(3, 16))
    flat = X.reshape(3, 20, 16)
    order = {"l2": 2, "l1": 1, "linf": np.inf}[embedding]
    e = alpha * np.linalg.norm(flat, order, axis=1)
    n = {
        "l2": lambda: np.sqrt(16) * e / np.linalg.norm(e, 2, axis=1, keepdims=True),
        "l1": lambda: 16 * e / np.linalg.norm(e, 1, axis=1, keepdims=True),
        "mean_var": lambda: (e - e.mean(1, keepdims=True)) / e.std(1, keepdims=True),
    }[norm]()
    z = gamma * n + beta
    w = {
        "sigmoid": lambda: sigmoid(z),
        "one_plus_elu": lambda: np.where(z > 0, 1 + z, np.exp(z)),
        "one_plus_tanh": lambda: 1 + np.tanh(z),
    }[gate]()
    params = {"mix/alpha": alpha, "mix/gamma": gamma, "mix/beta": beta}
    y = run("gct", X, params, norm=norm, embedding=embedding, gate=gate, epsilon=1e-9)
    np.testing.assert_allclose(y, X * w[:, None, None], rtol=1e-4, atol=1e-5)


def test_gct_embeds_as_it_normalises_unless_told_otherwise() -> None:
    params = {f"mix/{name}": RNG.normal(size=16) for name in ("alpha", "gamma", "beta")}
    for norm, embedding in (("l2", "l2"), ("l1", "l1"), ("mean_var", "l2")):
        np.testing.assert_array_equal(
            run("gct", X, params, norm=norm), run("gct", X, params, norm=norm, embedding=embedding)
        )


def test_gct_does_not_depend_on_the_size_of_the_map() -> None:
    params = {f"mix/{name}": RNG.normal(size=16) for name in ("alpha", "gamma", "beta")}
    for norm in ("l2", "l1"):
        y = run("gct", X, params, norm=norm)
        tiled = run("gct", np.tile(X, (1, 2, 3, 1)), params, norm=norm)
        np.testing.assert_allclose(tiled[:, :5, :4], y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("preset", "ddof", "epsilon"), [("paper", 0, 1e-5), ("thirdparty", 1, 0)])
def test_gaussian_ct_divides_by_twice_the_squared_deviation(
    preset: str, ddof: int, epsilon: float
) -> None:
    s = X.mean((1, 2))
    variance = s.var(-1, ddof=ddof, keepdims=True) + epsilon
    n2 = (s - s.mean(-1, keepdims=True)) ** 2 / variance
    for options, c in (({}, 2), ({"deviation": 0.7}, 0.7)):
        y = run("gaussian_ct", X, {}, preset=preset, **options)
        np.testing.assert_allclose(
            y, X * np.exp(-n2 / (2 * c**2))[:, None, None], rtol=1e-4, atol=1e-6
        )
    y = run("gaussian_ct", X, {"mix/theta": np.float32(0.4)}, preset=preset, learned=True)
    c = 3 * sigmoid(np.float64(0.4)) + 1
    np.testing.assert_allclose(y, X * np.exp(-n2 / (2 * c**2))[:, None, None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("preset", ["paper", "thirdparty"])
def test_gaussian_ct_of_channels_that_are_all_alike_is_the_identity(preset: str) -> None:
    module = attention.create("gaussian_ct", preset=preset)
    for x in (jnp.full((2, 3, 3, 8), 2.0), jnp.ones((2, 3, 3, 1)), jnp.zeros((2, 3, 3, 8))):
        np.testing.assert_array_equal(jax.jit(module.apply)({}, x), x)
        dx = jax.jit(jax.grad(lambda x: jnp.sum(module.apply({}, x) ** 2)))(x)
        assert np.isfinite(dx).all()


def test_std_is_the_root_of_the_unbiased_variance_plus_epsilon() -> None:
    s = squeeze.get("std")(jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(s, np.sqrt(X.var((1, 2), ddof=1) + 1e-5), rtol=1e-5)
    one = squeeze.get("std")(jnp.asarray(X[:, :1, :1], jnp.bfloat16))
    np.testing.assert_allclose(one, np.full((3, 16), np.sqrt(1e-5)), rtol=1e-5)


@pytest.mark.parametrize("name", ["grn", "sge", "srm", "gct", "lct", "shuffle", "gaussian_ct"])
@pytest.mark.parametrize("positions", [(1, 1), (4, 3)])
def test_silent_and_constant_channels_have_finite_gradients(
    name: str, positions: tuple[int, int]
) -> None:
    module = attention.create(name)
    ramp = jnp.arange(16.0) * (jnp.arange(16) >= 8)  # the first half of the channels is silent

    @jax.jit
    def derivatives(x: jax.Array) -> Any:
        state = jax.tree.map(lambda p: p + 0.5, module.init(jax.random.key(0), x))

        def scalar(state: Any, x: jax.Array) -> jax.Array:
            y, _ = module.apply(state, x, train=True, mutable=["batch_stats"])
            return jnp.sum((y + 1) ** 2)

        return jax.value_and_grad(scalar, (0, 1))(state, x)

    for x in (jnp.zeros((2, *positions, 16)), jnp.broadcast_to(ramp, (2, *positions, 16))):
        for leaf in jax.tree.leaves(derivatives(x)):
            assert np.isfinite(leaf).all()


def test_srm_of_a_batch_of_one_in_training_has_the_shift_of_the_norm_alone() -> None:
    module, x = attention.create("srm"), jnp.asarray(X[:1], jnp.float32)
    state = module.init(jax.random.key(0), x)
    params = flatten_dict(state["params"], sep="/")
    params["mix/norm/bias"] = jnp.asarray(RNG.normal(size=16), jnp.float32)
    params["mix/kernel"] = jnp.ones((2, 16))
    state = state | {"params": unflatten_dict(params, sep="/")}
    y, _ = module.apply(state, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, x * sigmoid(np.asarray(params["mix/norm/bias"])), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4, 16])
def test_lct_is_a_group_norm_of_the_pooled_vector(groups: int) -> None:
    scale, bias = RNG.normal(size=(2, 16))
    s = X.mean((1, 2)).reshape(3, groups, -1)
    n = (s - s.mean(-1, keepdims=True)) / np.sqrt(s.var(-1, keepdims=True) + 1e-5)
    w = sigmoid(scale * n.reshape(3, 16) + bias)
    y = run("lct", X, {"mix/norm/scale": scale, "mix/norm/bias": bias}, groups=groups)
    np.testing.assert_allclose(y, X * w[:, None, None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["lct", "sge", "shuffle"])
def test_weights_at_the_start_are_the_sigmoid_of_one(name: str) -> None:
    module, x = attention.create(name), jnp.asarray(X, jnp.float32)
    _, sown = module.apply(module.init(jax.random.key(0), x), x, mutable=["attention"])
    for weights in jax.tree.leaves(sown):
        np.testing.assert_allclose(weights, sigmoid(np.float64(1)), rtol=1e-6)


def test_lct_normalized_starts_with_the_sigmoid_of_the_normalised_descriptor() -> None:
    x = jnp.asarray(X, jnp.float32)
    y, _ = jax.jit(attention.create("lct", preset="normalized").init_with_output)(
        jax.random.key(0), x
    )
    unit = {"mix/norm/scale": np.ones(16), "mix/norm/bias": np.zeros(16)}
    np.testing.assert_array_equal(y, run("lct", X, unit))


def test_sge_divides_by_the_unbiased_deviation_plus_epsilon() -> None:
    gamma, beta = RNG.normal(size=(2, 4))
    groups = X.reshape(3, 20, 4, 4)
    c = (groups * groups.mean(1, keepdims=True)).sum(-1)
    n = (c - c.mean(1, keepdims=True)) / (c.std(1, ddof=1, keepdims=True) + 1e-5)
    y = (groups * sigmoid(gamma * n + beta)[..., None]).reshape(X.shape)
    ours = run("sge", X, {"gamma": gamma, "beta": beta})
    np.testing.assert_allclose(ours, y, rtol=1e-4, atol=1e-5)


def test_sge_without_norm_takes_the_agreement_as_it_is() -> None:
    gamma, beta = RNG.normal(size=(2, 4))
    groups = X.reshape(3, 20, 4, 4)
    c = np.einsum("npgc,ngc->npg", groups, groups.mean(1))
    y = (groups * sigmoid(gamma * c + beta)[..., None]).reshape(X.shape)
    ours = run("sge", X, {"gamma": gamma, "beta": beta}, use_norm=False)
    np.testing.assert_allclose(ours, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("gamma", "beta"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_sge_starts_where_it_is_told(gamma: float, beta: float) -> None:
    x = jnp.asarray(X, jnp.float32)
    module = attention.create("sge", init_gamma=gamma, init_beta=beta)
    y, variables = jax.jit(module.init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(variables["params"]["gamma"], np.full(4, gamma))
    np.testing.assert_array_equal(variables["params"]["beta"], np.full(4, beta))
    same = run("sge", X, {"gamma": np.full(4, gamma), "beta": np.full(4, beta)})
    np.testing.assert_allclose(y, same, rtol=1e-6)


def test_shuffle_takes_channels_in_turn_from_both_halves() -> None:
    x = np.broadcast_to(np.arange(1.0, 9), (1, 2, 2, 8))
    y, _ = attention.create("shuffle", groups=2).init_with_output(jax.random.key(0), jnp.asarray(x))
    expected = sigmoid(np.float64(1)) * np.array([1, 5, 2, 6, 3, 7, 4, 8])
    np.testing.assert_allclose(y[0, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "multiple", "groups"),
    [
        (16, 1, 4),
        (16, 2, 4),
        (64, 1, 16),
        (256, 1, 64),
        (256, 2, 64),
        (2048, 2, 64),
        (100, 1, 25),
        (100, 2, 25),
        (12, 2, 3),
        (36, 2, 9),
        (7, 1, 1),
        (2, 1, 1),
        (1280, 1, 64),
        (336, 1, 56),
    ],
)
def test_default_groups_are_64_or_have_four_channels(
    channels: int, multiple: int, groups: int
) -> None:
    assert default_groups(channels, multiple) == groups


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gct", {"norm": "l3"}, "gct: unknown norm 'l3'; valid: l2, l1, mean_var"),
        ("gct", {"embedding": "max"}, "gct: unknown embedding 'max'; valid: l2, l1, linf"),
        ("gct", {"after_relu": True}, "after_relu makes no difference to embedding 'l2'"),
        (
            "gct",
            {"norm": "l1", "embedding": "linf", "after_relu": True},
            "after_relu makes no difference to embedding 'linf'",
        ),
        ("gct", {"epsilon": 0.0}, "gct: epsilon must be positive, not 0.0"),
        ("gaussian_ct", {"preset": "timm"}, "unknown preset 'timm'; valid: paper, thirdparty"),
        ("gaussian_ct", {"deviation": -1.0}, "deviation must be positive, not -1.0"),
        ("gaussian_ct", {"deviation": 2.0, "learned": True}, "deviation 2.0 is fixed"),
        ("srm", {"squeeze": "none"}, "srm: squeeze 'none' does not pool"),
        ("lct", {"preset": "paper"}, "unknown preset 'paper'; valid: constant, normalized"),
        ("lct", {"groups": 0}, "lct: groups must be positive, not 0"),
        ("sge", {"groups": -2}, "sge: groups must be positive, not -2"),
        (
            "sge",
            {"init_beta": float("nan")},
            "init_gamma and init_beta must be finite, not 0.0, nan",
        ),
        ("shuffle", {"groups": 0}, "shuffle: groups must be positive, not 0"),
    ],
)
def test_bad_options_get_one_line_that_names_them(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "channels", "message"),
    [
        ("lct", {"groups": 5}, 16, "lct: groups=5 do not divide 16 channels"),
        ("sge", {"groups": 64}, 16, "sge: groups=64 do not divide 16 channels"),
        (
            "shuffle",
            {"groups": 16},
            16,
            "groups=16, each in 2 equal parts, do not divide 16 channels",
        ),
        ("shuffle", {}, 7, "shuffle: groups=1, each in 2 equal parts, do not divide 7"),
    ],
)
def test_groups_that_do_not_fit_the_channels_are_refused(
    name: str, options: dict[str, Any], channels: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        attention.create(name, **options).init(jax.random.key(0), jnp.ones((1, 3, 3, channels)))
