"""What holds for every registered mechanism."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError

NAMES = attention.names()
GATES = [name for name in NAMES if attention.describe(name).slot == "gate"]
CHANNELS = 32


def build(name: str, **options: Any) -> nn.Module:
    if attention.describe(name).slot == "conv":
        options["filters"] = CHANNELS
    return attention.create(name, **options)


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


@cache
def variables_of(name: str) -> Any:
    """Variables with random values everywhere, so that no zero initialisation hides anything."""
    shapes = jax.eval_shape(build(name).init, jax.random.key(1), feature_map(2, 6, 5, CHANNELS))
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape) * 0.5
        return jnp.asarray(abs(values) + 0.1 if "'var'" in str(path) else values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 6, 5), (1, 7, 7), (3, 1, 1)])
def test_shape_and_type_are_kept(name: str, shape: tuple[int, int, int]) -> None:
    module, x = build(name), feature_map(*shape, CHANNELS)
    for dtype in (jnp.float32, jnp.bfloat16):
        y = jax.eval_shape(module.apply, variables_of(name), x.astype(dtype))
        assert y.shape == x.shape
        if attention.describe(name).slot == "gate":
            assert y.dtype == dtype
    assert np.isfinite(jax.jit(module.apply)(variables_of(name), x)).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    module, x = build(name), feature_map(4, 6, 5, CHANNELS)
    state = variables_of(name)
    g = jax.random.normal(jax.random.key(2), x.shape)

    def scalar(params: Any) -> jax.Array:
        y, _ = module.apply(state | {"params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.sum(y * g)

    gradients = jax.jit(jax.grad(scalar))(state.get("params", {}))
    # A bias in front of a batch norm in training has none, by construction.
    for path, d in jax.tree.leaves_with_path(gradients):
        if name == "splat" and jax.tree_util.keystr(path).endswith("['reduce']['bias']"):
            continue
        assert np.abs(d).max() > 1e-6, jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_equals_eager_and_each_picture_stands_alone(name: str) -> None:
    module, x, state = build(name), feature_map(3, 6, 5, CHANNELS), variables_of(name)
    eager = module.apply(state, x)
    np.testing.assert_allclose(jax.jit(module.apply)(state, x), eager, rtol=2e-5, atol=2e-5)
    alone = jax.jit(module.apply)(state, x[1:2])
    np.testing.assert_allclose(alone, eager[1:2], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_weights_are_sown_and_leave_no_trace_otherwise(name: str) -> None:
    module, x = build(name), feature_map(2, 6, 5, CHANNELS)
    assert "attention" not in jax.eval_shape(module.init, jax.random.key(0), x)
    _, sown = module.apply(variables_of(name), x, mutable=["attention"])
    weights = jax.tree.leaves(sown["attention"])
    assert weights
    assert all(w.shape[0] == 2 for w in weights)


def test_the_sown_weights_are_those_applied() -> None:
    module, x, state = build("se"), feature_map(2, 6, 5, CHANNELS), variables_of("se")
    y, sown = module.apply(state, x, mutable=["attention"])
    np.testing.assert_allclose(y, x * sown["attention"]["weights"][:, None, None], rtol=1e-6)


def test_sowing_costs_nothing_when_nobody_looks() -> None:
    module, x, state = build("se"), feature_map(2, 6, 5, CHANNELS), variables_of("se")
    jaxpr = jax.make_jaxpr(module.apply)(state, x)
    assert len(jaxpr.out_avals) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_is_never_silently_dropped(name: str) -> None:
    x = feature_map(2, 6, 5, CHANNELS)
    with pytest.raises(UsageError, match="takes no condition"):
        build(name).apply(variables_of(name), x, condition=jnp.ones((2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_what_describe_says(name: str) -> None:
    mechanism = attention.describe(name)
    assert mechanism.placement in attention.PLACEMENTS
    assert mechanism.summary
    assert mechanism.citation
    module = build(name, **{k: option.default for k, option in mechanism.options.items()})
    assert isinstance(module, nn.Module)


def test_permuting_channels_commutes_with_simam_and_not_with_eca() -> None:
    x = feature_map(2, 6, 5, CHANNELS)
    order = np.random.default_rng(0).permutation(CHANNELS)
    simam = build("simam")
    np.testing.assert_allclose(
        simam.apply({}, x[..., order]), simam.apply({}, x)[..., order], rtol=1e-5
    )
    eca, state = build("eca"), variables_of("eca")
    assert not np.allclose(eca.apply(state, x[..., order]), eca.apply(state, x)[..., order])


def test_top_k_of_all_channels_is_the_identity() -> None:
    x = feature_map(2, 6, 5, CHANNELS)
    y = build("top_k", fraction=1.0).apply(variables_of("top_k"), x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", ["top_k", "argmax"])
def test_hard_selection_has_the_parameters_of_se(name: str) -> None:
    shapes = [jax.tree.map(jnp.shape, variables_of(n)) for n in ("se", name)]
    assert shapes[0] == shapes[1]


def test_fewer_channels_than_the_reduction_still_work() -> None:
    x = feature_map(2, 4, 4, 8)
    for name in ("se", "cbam", "top_k", "argmax"):
        module = attention.create(name, reduction=16)
        y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
        assert y.shape == x.shape
        widths = {leaf.shape for leaf in jax.tree.leaves(variables["params"])}
        assert (8, 1) in widths


def test_a_mechanism_can_be_used_inside_another_module() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return attention.create("se", name="gate")(x)

    params = Net().init(jax.random.key(0), feature_map(2, 4, 4, 8))["params"]
    assert set(params) == {"gate"}
    assert set(params["gate"]["mix"]) == {"reduce", "expand"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("see", {}, "unknown attention 'see'.*Did you mean 'se'"),
        ("se", {"reductoin": 4}, "no option 'reductoin'.*Did you mean 'reduction'"),
        ("simam", {"gate": "tanh"}, "takes no option 'gate'; it takes: regularization"),
        ("identity", {"gate": "tanh"}, "takes no option 'gate'; it takes none"),
        ("se", {"reduction": 2.5}, "'reduction' must be of type int, not 2.5"),
        ("se", {"use_bias": 1}, "'use_bias' must be of type bool"),
        ("se", {"rounding": "nearest"}, "unknown rounding 'nearest'; valid: paper, timm"),
        ("se", {"width": 0}, "width must be positive"),
        ("se", {"act": "mish"}, "unknown activation 'mish'"),
        ("eca", {"kernel_size": 4}, "must be odd"),
        ("cbam", {"preset": "official_"}, "unknown preset 'official_'; valid: official, timm"),
        ("simam", {"regularization": 0.0}, "regularization must be positive"),
        ("sk", {"filters": 8, "branches": "wide"}, "unknown branches 'wide'"),
        ("sk", {"filters": 8, "kernel_sizes": (3,)}, "kernel_sizes must be two or more odd"),
        ("splat", {"filters": 8, "radix": 0}, "radix and reduction must be positive"),
        ("channel", {"fuse": "mul"}, "unknown fuse 'mul'; valid: scale, residual, add"),
        ("channel", {"mix": "dense", "reduction": 4}, "mix 'dense' takes no option 'reduction'"),
    ],
)
def test_bad_options_get_one_line_that_names_them(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options)
    assert "\n" not in str(error.value)


def test_splits_that_do_not_fit_the_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="must divide by radix x groups = 6"):
        attention.create("splat", filters=32, groups=3).init(
            jax.random.key(0), feature_map(1, 4, 4, 32)
        )


def test_the_generic_member_equals_the_named_one() -> None:
    x = feature_map(2, 6, 5, CHANNELS)
    for name, spelled_out in (
        ("se", {"mix": "bottleneck"}),
        ("eca", {"mix": "conv1d", "kernel_size": 3}),
    ):
        state = variables_of(name)
        named = build(name).apply(state, x)
        np.testing.assert_array_equal(
            attention.create("channel", **spelled_out).apply(state, x), named
        )


def test_a_name_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        register("se", citation="")(nn.Module)
    with pytest.raises(ValueError, match="does not fit the slot"):
        register("new", citation="", placement="conv")
