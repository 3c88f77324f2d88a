"""The controls, and the equalities among SE, ECA and their relatives."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import attention
from chanattn.attention.cbam import maps_over_channels
from chanattn.attention.functional.select import fixed_numbers
from chanattn.errors import UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4, 32)).astype(np.float32) + 0.5
OTHER = RNG.normal(size=X.shape).astype(np.float32)
MATRIX = RNG.normal(size=(32, 32)).astype(np.float32)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z.astype(np.float64)))


def apply(name: str, params: Any, x: np.ndarray = X, **options: Any) -> np.ndarray:
    state = {"params": params} if params else {}
    return np.asarray(attention.create(name, **options).apply(state, jnp.asarray(x)))


def weights(name: str, x: np.ndarray = X, **options: Any) -> np.ndarray:
    module = attention.create(name, **options)
    variables = module.init(jax.random.key(0), jnp.asarray(x))
    _, sown = module.apply(variables, jnp.asarray(x), mutable=["attention"])
    return np.asarray(sown["attention"]["weights"])


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_constant_scales_by_its_value() -> None:
    np.testing.assert_array_equal(apply("constant", {}), X * np.float32(0.5))
    np.testing.assert_array_equal(apply("constant", {}, value=2.0), X * np.float32(2))
    assert weights("constant").shape == (3, 32)


def test_static_is_the_identity_at_the_start_and_a_factor_a_channel_then() -> None:
    y, variables = attention.create("static").init_with_output(jax.random.key(0), jnp.asarray(X))
    np.testing.assert_array_equal(y, X)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"scale": (32,)}}
    factors = np.arange(32, dtype=np.float32)
    np.testing.assert_array_equal(apply("static", {"scale": factors}), X * factors)
    assert np.all(weights("static", init_scale=0.1) == np.float32(0.1))


@pytest.mark.parametrize("name", ["constant", "static", "random", "bias_only"])
def test_controls_do_not_look_at_their_input(name: str) -> None:
    np.testing.assert_array_equal(weights(name), weights(name, OTHER))


def test_bias_only_is_the_sigmoid_of_its_bias() -> None:
    bias = np.linspace(-3, 3, 32, dtype=np.float32)
    close(apply("bias_only", {"mix": {"bias": bias}}), X * sigmoid(bias))
    assert np.all(weights("bias_only") == 0.5)
    kept = apply("bias_only", {"mix": {"bias": bias}}, gate="top_k", fraction=0.25)
    assert np.all(kept[..., :24] == 0)
    np.testing.assert_array_equal(kept[..., 24:], 4 * X[..., 24:])


class Two(nn.Module):
    """The control at two places."""

    weight_seed: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = {"weight_seed": self.weight_seed}
        x = attention.create("random", name="first", **options)(x)
        return attention.create("random", name="second", **options)(x)


def sown_at_two_places(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    _, sown = jax.jit(lambda x: Two(seed).apply({}, x, mutable=["attention"]))(jnp.asarray(X))
    return tuple(np.asarray(sown["attention"][k]["weights"]) for k in ("first", "second"))


def test_random_weights_depend_on_the_place_and_the_seed_alone() -> None:
    first, second = sown_at_two_places()
    np.testing.assert_array_equal(first, sown_at_two_places()[0])
    assert not np.allclose(first, second)
    assert not np.allclose(first, sown_at_two_places(seed=1)[0])
    assert Two().init(jax.random.key(5), jnp.asarray(X)) == {}
    np.testing.assert_array_equal(first[0], fixed_numbers(32, "first"))


def test_random_weights_are_the_same_in_every_process() -> None:
    many = fixed_numbers(10_000, "stage1_block1/attention")
    assert 0 < many.min() < 0.01
    assert 0.99 < many.max() < 1
    assert many.dtype == np.float32
    np.testing.assert_allclose(
        fixed_numbers(3, "stage1_block1/attention"),
        [0.9582553, 0.70724154, 0.44116294],
        rtol=1e-6,
    )


def test_se_var3_is_se_with_an_identity_in_the_middle() -> None:
    close(apply("se_var3", {"mix": {"dense": {"kernel": MATRIX}}}), by_matrix(MATRIX))


def by_matrix(matrix: np.ndarray) -> np.ndarray:
    """X sigmoid(W s) by NumPy, and by SE with d = 2 C, whose ReLU then lets both signs pass."""
    y = X * sigmoid(X.mean((1, 2)) @ matrix)[:, None, None]
    both = {
        "reduce": {"kernel": np.concatenate([np.eye(32), -np.eye(32)], 1).astype(np.float32)},
        "expand": {"kernel": np.concatenate([matrix, -matrix])},
    }
    close(apply("se", {"mix": both}, width=64, use_bias=False), y)
    return y


def test_se_var2_is_a_diagonal_matrix() -> None:
    factors = MATRIX[0]
    close(apply("se_var2", {"mix": {"kernel": factors}}), by_matrix(np.diag(factors)))


def test_se_gc_goes_from_se_var3_to_se_var2() -> None:
    one = apply("se_gc", {"mix": {"dense": {"kernel": MATRIX[None]}}}, groups=1)
    close(one, apply("se_var3", {"mix": {"dense": {"kernel": MATRIX}}}))
    factors = MATRIX[0]
    each = {"mix": {"dense": {"kernel": factors[:, None, None]}}}
    by_factor = apply("se_var2", {"mix": {"kernel": factors}})
    close(apply("se_gc", each, groups=32), by_factor)
    close(apply("se_gc", each, group_width=1), by_factor)


def test_eca_with_one_tap_is_one_shared_factor() -> None:
    shared = apply("eca", {"mix": {"kernel": np.float32([0.7])}}, kernel_size=1)
    close(shared, X * sigmoid(0.7 * X.mean((1, 2)))[:, None, None])
    close(shared, apply("se_var2", {"mix": {"kernel": np.full(32, 0.7, np.float32)}}))


def test_eca_ns_with_equal_taps_is_eca() -> None:
    taps = np.float32([0.3, -1.0, 2.0])
    ns = apply("eca_ns", {"mix": {"kernel": np.repeat(taps[:, None], 32, 1)}})
    np.testing.assert_array_equal(ns, apply("eca", {"mix": {"kernel": taps}}))


def test_ceca_is_a_circular_correlation_and_commutes_with_rotation() -> None:
    taps = np.float32([0.3, -1.0, 2.0])
    s = X.mean((1, 2))
    z = 0.3 * np.roll(s, 1, axis=1) - s + 2 * np.roll(s, -1, axis=1)
    params = {"mix": {"kernel": taps}}
    close(apply("ceca", params), X * sigmoid(z)[:, None, None])
    rotated = np.roll(X, 5, axis=-1)
    close(apply("ceca", params, rotated), np.roll(apply("ceca", params), 5, axis=-1))
    inside = np.s_[..., 1:-1]
    close(apply("ceca", params)[inside], apply("eca", params)[inside])


def test_ceca_of_one_channel_sees_that_channel_alone() -> None:
    x = X[..., :1]
    y = apply("ceca", {"mix": {"kernel": np.float32([1, 2, 3])}}, x)
    close(y, x * sigmoid(6 * x.mean((1, 2)))[:, None, None])


def scse_params() -> Any:
    x = jnp.asarray(X)
    return attention.create("scse").init(jax.random.key(3), x)["params"]


@pytest.mark.parametrize(
    ("combine", "by_numpy"), [("max", np.maximum), ("add", np.add), ("mul", np.multiply)]
)
def test_scse_combines_cse_and_sse(combine: str, by_numpy: Any) -> None:
    params = scse_params()
    by_channel = apply("cse", params["channel"])
    by_position = apply("sse", params["spatial"])
    v = np.asarray(params["spatial"]["conv"]["kernel"])[0, 0, :, 0]
    close(by_position, X * sigmoid(X @ v)[..., None])
    close(apply("scse", params, combine=combine), by_numpy(by_channel, by_position))


def test_the_width_can_follow_from_the_input_of_the_block() -> None:
    def width(**options: Any) -> int:
        module = attention.create("se", **options)
        variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 2, 2, 144)))
        return variables["params"]["mix"]["reduce"]["kernel"].shape[1]

    # EfficientNet-B0, second block of the second stage: 24 channels expanded to 144.
    options = {"reduction": 4, "reduce_from": "block_input", "act": "silu"}
    assert width(**options, block_input=24) == 6
    assert width(width=5, act="silu", block_input=24) == 5
    assert width(reduction=4, block_input=24) == 36
    assert width(reduction=4, rounding="mobile", gate="hard_sigmoid") == 40
    module = attention.create("cse", reduce_from="block_input", block_input=24)
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 2, 2, 144)))["params"]
    assert params["mix"]["reduce"]["kernel"].shape == (144, 12)


def test_gain_multiplies_the_weights_of_any_gate() -> None:
    np.testing.assert_allclose(weights("se", gain=2.0), 2 * weights("se"), rtol=1e-6)
    annealed = {"gate": "softmax", "temperature": 2.0, "anneal_rate": 0.1}
    module = attention.create("se", gain=2.0, **annealed)
    variables = module.init(jax.random.key(0), jnp.asarray(X))
    _, new = module.apply(variables, jnp.asarray(X), train=True, mutable=["batch_stats"])
    assert new["batch_stats"]["temperature"] < 2
    np.testing.assert_allclose(
        weights("se", gain=2.0, **annealed), 2 * weights("se", **annealed), rtol=1e-6
    )


def test_the_gate_of_cbams_channels_can_be_chosen() -> None:
    module = attention.create("cbam", gate="top_k", fraction=0.25, spatial=False)
    variables = module.init(jax.random.key(0), jnp.asarray(X))
    y = np.asarray(module.apply(variables, jnp.asarray(X)))
    assert np.all(np.sum(np.any(y != 0, axis=(1, 2)), axis=-1) == 8)


def test_maps_over_channels_keep_their_order() -> None:
    low, high = X.mean(-1), X.max(-1)
    x = jnp.asarray(X)
    close(np.asarray(maps_over_channels(x, "max+mean")), np.stack([high, low], -1))
    close(np.asarray(maps_over_channels(x, "mean+max")), np.stack([low, high], -1))
    close(np.asarray(maps_over_channels(x, "blend")), ((low + high) / 2)[..., None])


@pytest.mark.parametrize("channels", [16, 256])
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("se_var1", lambda c: 0),
        ("se_var2", lambda c: c),
        ("se_var3", lambda c: c * c),
        ("se_gc", lambda c: c * c // 16),
        ("eca_ns", lambda c: c * (3 if c <= 64 else 5)),
        ("ceca", lambda c: 3 if c <= 64 else 5),
        ("eca_mlp", lambda c: max(c // 8, 8) * ((3 if c <= 64 else 5) + 2) + 1),
        ("ese", lambda c: c * c + c),
        ("cse", lambda c: c * c + c + c // 2),
        ("sse", lambda c: c + 1),
        ("scse", lambda c: c * c + 2 * c + c // 2 + 1),
        ("cbam_light", lambda c: 2 * c * (c // 16) + 49 + 2),
        ("constant", lambda c: 0),
        ("static", lambda c: c),
        ("random", lambda c: 0),
        ("bias_only", lambda c: c),
    ],
)
def test_parameters_are_as_documented(name: str, formula: Any, channels: int) -> None:
    module = attention.create(name)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 3, 2, channels)))
    leaves = jax.tree.leaves(shapes.get("params", {}))
    assert sum(leaf.size for leaf in leaves) == formula(channels)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("se", {"reduce_from": "input"}, "unknown reduce_from 'input'; valid: channels, block_in"),
        ("se", {"reduce_from": "block_input"}, "reduce_from='block_input' needs block_input"),
        ("se", {"gain": 0.0}, "gain must be positive, not 0"),
        ("se_gc", {"groups": 0}, "groups must be positive, not 0"),
        ("se_gc", {"group_width": 0}, "group_width must be positive, not 0"),
        ("se_var1", {"squeeze": "max"}, "takes no option 'squeeze'"),
        ("eca", {"gamma": 0.0}, "gamma must be positive, not 0"),
        ("ceca", {"kernel_size": 4}, "kernel_size must be odd and positive, not 4"),
        ("eca_mlp", {"width": 0}, "width must be positive, not 0"),
        ("eca_mlp", {"act": "mish"}, "unknown activation 'mish'"),
        ("ese", {"squeeze": "men"}, "unknown squeeze 'men'"),
        ("cse", {"reduction": 0}, "reduction must be positive, not 0"),
        ("scse", {"combine": "concat"}, "unknown combine 'concat'; valid: max, add, mul"),
        ("scse", {"reduction": 0}, "reduction must be positive, not 0"),
        ("scse", {"gate": "sigmod"}, "unknown gate 'sigmod'"),
        ("cbam", {"gate": "sigmod"}, "unknown gate 'sigmod'"),
        ("cbam_light", {"preset": "timm"}, "takes no option 'preset'"),
        ("constant", {"value": float("nan")}, "value must be finite, not nan"),
        ("static", {"init_scale": float("inf")}, "init_scale must be finite, not inf"),
        ("random", {"weight_seed": -1}, "weight_seed must not be negative, not -1"),
    ],
)
def test_bad_options_get_one_line_that_names_them(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("se_gc", {"groups": 5}, "groups=5 do not divide 32 channels"),
        ("se_gc", {"group_width": 5}, "group_width=5 does not divide 32 channels"),
        ("ceca", {"kernel_size": 67}, "kernel_size 67 goes round 32 channels more than once"),
    ],
)
def test_what_does_not_fit_the_channels_is_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        attention.create(name, **options).init(jax.random.key(0), jnp.asarray(X))
