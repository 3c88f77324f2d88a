"""What holds for every registered mechanism."""

import contextlib
import dataclasses
import re
import sys
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from members import CHANNELS, SHAPE, build, feature_map, random_like, variables_of
from sampling import only

from chanattn import attention
from chanattn.attention import registry
from chanattn.attention.functional import gate as gates
from chanattn.errors import UsageError

NAMES = attention.names()
GATES = [name for name in NAMES if attention.describe(name).slot == "gate"]
# Parameters without influence: a shift of the logits of a softmax, an input that selection ignores.
NO_GRADIENT: dict[str, str] = {
    "dia": "hidden/reduce/kernel",  # sees the state, which is zero at the first block
    "gc": "mask/bias",
    "danet_pam": "key/bias",
    "non_local": "key/bias",
    "bat": "(matrices|conv_groups)/.*",  # blocks of one: the sides 6 and 5 have no common divisor
}
TAKE_A_CONDITION = ["sca"]
HARD = ("top_k", "argmax", "gumbel_sigmoid", "gumbel_softmax", "hard_concrete")


# One of each kind, for what takes long.
KINDS = ["se", "eca", "cbam", "bam", "simam", "dia", "sk", "gc", "srm", "encnet", "top_k", "ge"]


@cache
def program(name: str, **options: Any) -> Any:
    """Compiled, in one program: what tests ask of a mechanism with these variables on a map."""
    module = build(name, **options)
    dtype = {"dtype": jnp.bfloat16} if attention.describe(name).slot == "conv" else {}
    narrow = build(name, **options, **dtype)
    direction = jax.random.normal(jax.random.key(2), SHAPE)

    @jax.jit
    def run(state: Any, x: jax.Array) -> dict[str, Any]:
        def scalar(params: Any) -> Any:
            y, sown = module.apply(state | {"params": params}, x, mutable=["attention"])
            return jnp.sum(y * direction), (y, sown.get("attention", {}))

        gradients, (y, sown) = jax.grad(scalar, has_aux=True)(state.get("params", {}))
        return {
            "output": y,
            "sown": sown,
            "gradients": gradients,
            "pictures": jax.vmap(lambda picture: module.apply(state, picture[None])[0])(x),
            "bfloat16": narrow.apply(state, x.astype(jnp.bfloat16)),
        }

    return run


@cache
def evaluated(name: str, **options: Any) -> dict[str, Any]:
    """What `program` gives on the standard map."""
    values: dict[str, Any] = program(name, **options)(
        variables_of(name, **options), feature_map(*SHAPE)
    )
    return values


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([8, 16, 24, 64, 100]),
    dtype=st.sampled_from([jnp.float32, jnp.bfloat16]),
)
def test_any_map_works_or_is_refused_in_words(
    name: str, batch: int, height: int, width: int, channels: int, dtype: Any
) -> None:
    x = jax.ShapeDtypeStruct((batch, height, width, channels), dtype)
    context = {"filters": channels} if attention.describe(name).slot == "conv" else {}
    module = build(name, **context)
    try:
        y, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    except UsageError as refusal:
        if channels in (16, 64) or "\n" in str(refusal):  # the widths of ResNets must work
            raise
        return
    assert y.shape == x.shape
    if attention.describe(name).slot == "gate":
        assert y.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_a_single_position_gives_finite_values_and_gradients(name: str) -> None:
    module, x = build(name), feature_map(2, 1, 1, CHANNELS)
    state = random_like(jax.eval_shape(module.init, jax.random.key(1), x))

    @jax.jit
    def gradients(x: jax.Array) -> Any:
        return jax.value_and_grad(lambda x: jnp.sum(module.apply(state, x) ** 2))(x)

    value, dx = gradients(x)
    assert np.isfinite(value)
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_close_to_float32(name: str) -> None:
    # The same numbers in both types, so that selection by size sees no new ties.
    exact, rough = evaluated(name)["output"], evaluated(name)["bfloat16"].astype(jnp.float32)
    assert np.isfinite(rough).all()
    error = np.linalg.norm(rough - exact) / np.linalg.norm(exact)
    assert error < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    for path, d in jax.tree.leaves_with_path(evaluated(name)["gradients"]):
        where = jax.tree_util.keystr(path, simple=True, separator="/")
        if not re.fullmatch(NO_GRADIENT.get(name, "none"), where):
            assert np.abs(d).max() > 1e-6, where


@pytest.mark.parametrize("name", NAMES)
def test_each_picture_stands_alone(name: str) -> None:
    y = evaluated(name)["output"]
    close = {"rtol": 2e-5, "atol": 2e-5 * float(np.abs(y).max())}
    np.testing.assert_allclose(evaluated(name)["pictures"], y, **close)


@pytest.mark.parametrize("name", only(KINDS, NAMES))
def test_compiled_equals_eager(name: str) -> None:
    eager = build(name).apply(variables_of(name), feature_map(*SHAPE))
    close = {"rtol": 2e-5, "atol": 2e-5 * float(np.abs(eager).max())}
    np.testing.assert_allclose(evaluated(name)["output"], eager, **close)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_weights_are_sown_and_leave_no_trace_otherwise(name: str) -> None:
    module, x = build(name), feature_map(*SHAPE)
    assert "attention" not in jax.eval_shape(module.init, jax.random.key(0), x)
    weights = jax.tree.leaves(evaluated(name)["sown"])
    assert weights
    assert all(w.shape[0] == SHAPE[0] for w in weights)


def test_the_sown_weights_are_those_applied() -> None:
    y, sown = evaluated("se")["output"], evaluated("se")["sown"]
    weights = sown["weights"][:, None, None]
    np.testing.assert_allclose(y, feature_map(*SHAPE) * weights, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_what_is_put_in_place_of_weights_is_applied(name: str) -> None:
    module, x, variables = build(name), feature_map(*SHAPE), variables_of(name)
    y, own = evaluated(name)["output"], evaluated(name)["sown"]

    @jax.jit
    def with_weights(weights: Any) -> Any:
        return module.apply(variables | {"interventions": weights}, x, mutable=["attention"])

    close = {"rtol": 2e-5, "atol": 2e-5 * float(np.abs(y).max())}
    left, sown = with_weights(jax.tree.map(lambda w: np.full_like(w, np.nan), own))
    np.testing.assert_allclose(left, y, **close)
    same, _ = with_weights(own)
    np.testing.assert_allclose(same, y, **close)
    others = jax.tree.map(lambda w: np.roll(w, 1, axis=0), own)
    changed, sown = with_weights(others)
    jax.tree.map(np.testing.assert_array_equal, sown["attention"], others)
    alike = all(map(np.array_equal, jax.tree.leaves(own), jax.tree.leaves(others)))
    assert (np.abs(changed - y).max() < close["atol"]) == alike
    if name in ("bias_only", "constant", "random", "random_k", "static"):
        assert alike
    halved, _ = with_weights(jax.tree.map(lambda w: w / 2, own))
    assert np.abs(halved - y).max() > close["atol"]


@pytest.mark.parametrize("name", NAMES)
def test_sowing_costs_nothing_when_nobody_looks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `mutable`, the program is that of a family that never sows; with it, there are more outputs."""
    x, variables = feature_map(*SHAPE), variables_of(name)

    def program(**options: Any) -> Any:
        return jax.make_jaxpr(lambda v, x: build(name).apply(v, x, **options))(variables, x)

    unseen, seen = program(), program(mutable=["attention"])
    for path, module in list(sys.modules.items()):
        if path.startswith("chanattn.attention.") and hasattr(module, "sow_weights"):
            monkeypatch.setattr(module, "sow_weights", lambda _, weights, *__, **___: weights)
    assert str(unseen) == str(program())
    if name != "identity":
        assert len(seen.out_avals) > len(unseen.out_avals)


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_is_taken_or_refused_but_never_dropped(name: str) -> None:
    takes = name in TAKE_A_CONDITION
    assert attention.describe(name).takes_condition is takes
    told = {} if takes else {"condition": jnp.ones((3, 3))}
    with pytest.raises(TypeError, match="condition") if told else contextlib.nullcontext():
        build(name).apply(variables_of(name), feature_map(*SHAPE), **told)


@pytest.mark.parametrize("name", NAMES)
def test_by_name_and_by_class_it_is_the_same_module(name: str) -> None:
    mechanism = attention.describe(name)
    assert getattr(attention, mechanism.module.__name__) is mechanism.module
    context = {"filters": CHANNELS} if mechanism.slot == "conv" else {}
    assert mechanism.module(**context) == build(name)
    # What a user chooses are fields with types, for editors and for `clone`.
    own = {field.name for field in dataclasses.fields(mechanism.module) if field.init}
    gate_options = set(gates.OPTIONS) if "gate" in own else set()
    assert mechanism.options.keys() <= own | gate_options
    assert build(name).clone(param_dtype=jnp.bfloat16).param_dtype == jnp.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_that_of_the_map_that_is_returned(name: str) -> None:
    x = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    module = build(name, dtype=jnp.bfloat16)
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    leaves = jax.tree.leaves(variables.get("params", {}))
    assert {leaf.dtype for leaf in leaves} <= {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_type_that_they_are_given(name: str) -> None:
    x = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    variables = jax.eval_shape(build(name, param_dtype=jnp.bfloat16).init, jax.random.key(0), x)
    leaves = jax.tree.leaves(variables.get("params", {}))
    assert {leaf.dtype for leaf in leaves} <= {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("name", NAMES)
def test_a_map_without_a_batch_is_refused_in_words(name: str) -> None:
    x = jax.ShapeDtypeStruct(SHAPE[1:], jnp.float32)
    with pytest.raises(UsageError, match=r"takes a feature map \(N, H, W, C\).*x\[None\]"):
        jax.eval_shape(build(name).init, jax.random.key(0), x)


@pytest.mark.parametrize("name", GATES)
def test_order_of_the_channels_matters_as_documented(name: str) -> None:
    # No axis of another meaning may be as long as the one of the channels, or a multiple of it.
    options = {"width": 20} if name == "gsop" else {}
    x, state = feature_map(*SHAPE), variables_of(name, **options)
    order = np.random.default_rng(0).permutation(CHANNELS)

    def permute(leaf: jax.Array) -> jax.Array:
        """Along every axis with one entry, or a few, for each channel."""
        for axis, length in enumerate(leaf.shape):
            if length % CHANNELS == 0 and length:
                blocks = np.arange(length // CHANNELS)[:, None] * CHANNELS
                leaf = jnp.take(leaf, (blocks + order).ravel(), axis)
        return leaf

    y = program(name, **options)(jax.tree.map(permute, state), x[..., order])["output"]
    expected = evaluated(name, **options)["output"][..., order]
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    if attention.describe(name).order_matters:
        assert difference > 1e-3
    else:
        assert difference < 1e-4


@pytest.mark.usefixtures("drawn_by_numpy")
@pytest.mark.parametrize("name", GATES)
def test_identity_at_initialisation_where_it_is_promised(name: str) -> None:
    x = feature_map(2, 6, 5, CHANNELS)
    y, _ = jax.jit(build(name).init_with_output)(jax.random.key(3), x)
    if attention.describe(name).identity_at_init:
        np.testing.assert_array_equal(y, x)
    else:
        assert np.abs(y - x).max() > 1e-3


# What the symbols of the formulas stand for at C = 48 and a 6x5 map.
SYMBOLS: dict[str, dict[str, int]] = {
    "se": {"d": 3},
    "cbam": {"d": 3, "k": 7},
    "eca": {"k": 3},
    "cbam_light": {"d": 3, "k": 7},
    "channel": {"d": 3},
    "cse": {"d": 24},
    "scse": {"d": 24},
    "ceca": {"k": 3},
    "eca_ns": {"k": 3},
    "eca_mlp": {"d": 8, "k": 3},
    "se_gc": {"G": 16},
    "sk": {"I": 48, "d": 32},
    "splat": {"I": 48, "R": 2, "d": 32},
    "gc": {"d": 4},
    "dia": {"d": 12},
    "fca": {"d": 3},
    "encnet": {"K": 32},
    "gsop": {"d": 24},
    "sca": {"k": 512},
    "epsa": {"I": 48, "d": 1, "E": 4, "F": 4, "G": 4},
    "bam": {"d": 3},
    "coord": {"d": 8},
    "simple_coord": {"d": 8},
    "ela": {"k": 7},
    "strip": {"k": 3},
    "triplet": {"k": 7},
    "polarized": {"d": 24},
    "double": {"d": 12},
    "danet_pam": {"d": 6},
    "non_local": {"d": 24},
    "bat": {"d": 24, "G": 4, "b": 1},
    "sge": {"G": 12},
    "shuffle": {"G": 12},
    **{name: {"d": 3} for name in HARD},
}


def evaluate_formula(formula: str, **symbols: int) -> float:
    """The value of a formula with products by juxtaposition, "2 C d + k^2"."""
    assert re.fullmatch(r"[\w\s+*/^().-]+", formula), formula
    explicit = re.sub(r"(?<=[\w)])\s+(?=[\w(])", " * ", formula.replace("^", "**"))
    return eval(explicit, {"__builtins__": {}}, symbols)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_equal_the_documented_formula(name: str) -> None:
    count = sum(leaf.size for leaf in jax.tree.leaves(variables_of(name).get("params", {})))
    formula = attention.describe(name).parameters
    symbols = {"C": CHANNELS, "H": 6, "W": 5, "P": 30} | SYMBOLS.get(name, {})
    assert evaluate_formula(formula, **symbols) == count


@pytest.mark.parametrize("name", NAMES)
def test_what_describe_says(name: str) -> None:
    mechanism = attention.describe(name)
    assert mechanism.placement in attention.PLACEMENTS
    assert mechanism.summary.endswith(".")
    assert all(mechanism.axes)
    assert mechanism.citation
    assert 2013 <= mechanism.year <= 2026 or mechanism.citation.startswith("none")
    assert name in repr(mechanism)
    own = {k: option.default for k, option in mechanism.options.items()}
    assert isinstance(build(name, **own), nn.Module)


@pytest.mark.parametrize("name", NAMES)
def test_extra_losses_are_those_that_are_sown(name: str) -> None:
    module, x = build(name), feature_map(*SHAPE)

    def run(key: jax.Array) -> Any:
        variables = module.init({"params": key, "dropout": key}, x)
        _, sown = module.apply(
            variables,
            x,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses", "presence"],
        )
        return sown

    sown = jax.eval_shape(run, jax.random.key(0))
    names = {str(path[-1].key) for path, _ in jax.tree.leaves_with_path(sown.get("losses", {}))}
    names |= {"presence"} if "presence" in sown else set()
    assert names == set(attention.extra_losses(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_state_of_a_mechanism_is_of_a_kind_that_training_knows(name: str) -> None:
    """Running statistics move with every part of a batch; the rest once a step, and is never averaged."""
    option = attention.describe(name).options
    annealed = {"gate": "softmax", "anneal_rate": 0.1} if "gate" in option else {}
    if name == "gc":
        annealed["fuse"] = "mul"  # the one of its two ways that has a gate
    stored = [{"basis": "random"}] if name == "fca" else []
    for options in ({}, annealed, *stored):
        module = build(name, **options)
        state = jax.eval_shape(module.init, jax.random.key(1), feature_map(*SHAPE))
        kept = state.get("batch_stats", {})
        other = {str(path[-1].key) for path, _ in jax.tree.leaves_with_path(kept)} - {"mean", "var"}
        expected = {"temperature"} if options is annealed and annealed else set()
        assert other == (expected if options not in stored else {"basis"})
        assert set(state) <= {"params", "batch_stats"}


def test_top_k_of_all_channels_is_the_identity() -> None:
    x = feature_map(*SHAPE)
    y = build("top_k", fraction=1.0).apply(variables_of("top_k"), x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", HARD)
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
        ("se", {"rounding": "nearly"}, "unknown rounding 'nearly'; valid: paper, timm"),
        ("se", {"width": 0}, "width must be positive"),
        ("se", {"act": "mish"}, "unknown activation 'mish'"),
        ("eca", {"kernel_size": 4}, "must be odd"),
        ("cbam", {"preset": "official_"}, "unknown preset 'official_'; valid: official, timm"),
        ("simam", {"regularization": 0.0}, "regularization must be positive"),
        ("cbam", {"combine": "mul"}, "unknown combine 'mul'; valid: channel_first, spatial_first"),
        ("cbam", {"maps": "max"}, r"unknown maps 'max'; valid: max\+mean, mean\+max, blend, conv"),
        ("cbam", {"maps": "conv", "spatial": False}, "spatial=false leaves nothing to say to maps"),
        ("cbam", {"kernel_size": 5, "spatial": False}, "nothing to say to kernel_size=5; leave it"),
        ("epsa", {"filters": 8, "use_norm": False, "act": "gelu"}, "use_norm=false leaves nothing"),
        ("sk", {"filters": 8, "fuse": "sum", "reduction": 8}, "fuse='sum' leaves nothing.*=8"),
        ("sk", {"filters": 8, "branches": "groups", "kernel_sizes": (3, 7)}, r"=\(3, 7\); leave"),
        ("sk", {"filters": 8, "branches": "wide"}, "unknown branches 'wide'"),
        ("sk", {"filters": 8, "fuse": "add"}, "unknown fuse 'add'; valid: select, sum"),
        (
            "sk",
            {"filters": 8, "fuse": "sum", "kernel_sizes": ()},
            "must be one or more odd numbers",
        ),
        (
            "sk",
            {"filters": 8, "dilations": (1,)},
            r"dilations must be 2 positive numbers.*not \(1,\)",
        ),
        ("sk", {"filters": 8, "branch_groups": (1, 0)}, "branch_groups must be 2 positive numbers"),
        (
            "sk",
            {"filters": 8, "branches": "groups", "dilations": (1, 2)},
            "dilations is for branches='dilation', not 'groups'",
        ),
        ("sk", {"filters": 8, "kernel_sizes": (3,)}, "kernel_sizes must be two or more odd"),
        ("strip", {"use_conv": False, "use_bias": True}, "use_conv=false leaves nothing.*=True"),
        ("splat", {"filters": 8, "radix": 0}, "splat: radix must be positive, not 0"),
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
    x = feature_map(*SHAPE)
    for name, spelled_out in (
        ("se", {"mix": "bottleneck"}),
        ("eca", {"mix": "conv1d", "kernel_size": 3}),
    ):
        generic = attention.create("channel", **spelled_out)
        np.testing.assert_allclose(
            generic.apply(variables_of(name), x), evaluated(name)["output"], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attention.SE(reduction=8, width=4), "SE: width=4 leaves nothing to say to reduc"),
        (lambda: attention.SE(8.5), "SE: option 'reduction' must be of type int, not 8.5"),
        (lambda: attention.SE(use_bias="no"), "'use_bias' must be of type bool, not 'no'"),
        (lambda: attention.SE(act=nn.gelu), "unknown activation <function gelu"),
        (lambda: attention.SE(gate=None), "unknown gate None; valid: sigmoid"),
        (lambda: attention.ARM(8), "unknown gate 8; valid: sigmoid"),
        (lambda: attention.SE(dtype="bf16"), "SE: dtype must be a floating-point type, not 'bf16'"),
        (lambda: attention.SE(dtype=jnp.int32), "must be a floating-point type"),
        (lambda: attention.SK(0), "SK: filters must be positive, not 0"),
        (lambda: attention.SK(32, stride=0), "SK: stride must be positive, not 0"),
        (lambda: attention.SK("32"), "SK: option 'filters' must be of type int, not '32'"),
        (lambda: attention.create(attention.SE), "chosen by a name such as 'se', not by <class"),
        (lambda: attention.describe("GatherExcite"), "Did you mean 'ge'?"),
        (lambda: attention.create("SE"), "Did you mean 'se'?"),
        (lambda: gates.get("top_k", fraction="a"), "top_k: fraction must be of type float"),
    ],
)
def test_classes_refuse_what_names_refuse(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        make()
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers() -> None:
    assert attention.create("se", reduction=np.int64(8)) == attention.SE(reduction=8)
    assert attention.SimAM(np.float32(0.5)).regularization == 0.5


@pytest.mark.parametrize("name", only(KINDS, NAMES))
def test_a_map_of_whole_numbers_is_one_of_floats(name: str) -> None:
    x = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 200
    module, variables = build(name), variables_of(name)
    whole, real = (module.apply(variables, x.astype(kind)) for kind in (np.uint8, np.float32))
    assert whole.dtype == jnp.float32
    np.testing.assert_array_equal(whole, real)


@pytest.mark.parametrize("x", [np.zeros((1, 2, 2, 0)), np.zeros((1, 2, 2, 8), np.complex64)])
def test_a_map_without_channels_or_of_complex_numbers_is_refused(x: np.ndarray) -> None:
    with pytest.raises(UsageError, match="takes a real feature map of one channel or more"):
        attention.SE().init(jax.random.key(0), x)


@pytest.mark.parametrize("name", NAMES)
def test_a_mechanism_can_be_tabulated(name: str) -> None:
    told = build(name).tabulate(
        jax.random.key(0), feature_map(*SHAPE), console_kwargs={"width": 200}
    )
    assert type(build(name)).__name__ in told


@pytest.mark.parametrize(
    ("facts", "body", "message"),
    [
        ({"name": None}, {}, "a mechanism's name is lower-case letters, digits and underlines"),
        ({"name": "my att"}, {}, "a mechanism's name is lower-case letters"),
        ({"axes": ("a", "b")}, {}, "axes are three texts"),
        ({"name": "se"}, {}, "registered twice, by chanattn.attention.se and by"),
        ({"placement": "conv"}, {}, "placement 'conv' does not fit the slot 'gate'"),
        ({"slot": "conv"}, {}, "needs the fields filters, groups, stride"),
        ({"slot": "both"}, {}, "unknown slot 'both'; valid: gate, conv"),
        ({}, {"__call__": lambda self, x: x}, "must take `train`, by default False"),
        ({}, {"__call__": lambda self, x, train: x}, "must take `train`, by default False"),
        ({}, {"strength": (float, "a")}, "must be of type float, as its default 'a' is not"),
        ({}, {"strength": (float, None), "stages": (int, 1)}, "cannot be called 'stages'"),
        ({}, {"reduction": (str, "a")}, "'reduction' is of type str, that of 'bam' of type int"),
        (
            {},
            {"strength": (dict, None)},
            "must be of one of the types bool, int, float, str, tuple",
        ),
    ],
)
def test_what_cannot_be_a_mechanism_is_refused_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(registry, "_MECHANISMS", dict(registry._MECHANISMS))
    fields = {name: value for name, value in body.items() if isinstance(value, tuple)}
    methods = {"__call__": lambda self, x, train=False: x} | {
        name: value for name, value in body.items() if name not in fields
    }
    annotations = {name: kind for name, (kind, _) in fields.items()}
    defaults = {name: default for name, (_, default) in fields.items()}
    own = {"__annotations__": annotations, "__module__": __name__, **defaults, **methods}
    module = type("Own", (nn.Module,), own)
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        attention.register(**{"name": "own", "citation": "none", **facts})(module)
    assert "\n" not in str(error.value)


def test_a_cell_of_a_notebook_can_be_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MECHANISMS", dict(registry._MECHANISMS))
    for strength in (1.0, 2.0):

        @attention.register("own", citation="none")
        class Own(attention.Attention):
            """One of one's own."""

            strength: float = 1.0

            @nn.compact
            def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
                return x * self.strength

        y = attention.create("own", strength=strength).apply({}, jnp.ones((1, 1, 1, 1)))
        assert float(y.sum()) == strength
