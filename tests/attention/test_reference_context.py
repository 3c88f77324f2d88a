"""Global context and gather-excite equal their reference implementations, and what is known of them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import attention
from chanattn.attention.functional import gate
from chanattn.attention.gc import attention_pool, shares_of
from chanattn.attention.ge import gather_mean
from chanattn.errors import UsageError
from chanattn.layers import nearest

TIMM_GC = {"preset": "timm"}
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "timm_gc_mul_c24": ("gc", TIMM_GC | {"fuse": "mul"}),
    "timm_gc_add_c32": ("gc", TIMM_GC),
    "timm_gc_add_eps_c32": ("gc", TIMM_GC),
    "timm_gc_avg_c32": ("gc", TIMM_GC | {"fuse": "mul", "pooling": "avg"}),
    "timm_gc_both_c32": ("gc", TIMM_GC | {"fuse": "both"}),
    "mmcv_gc_add": ("gc", {"reduction": 4}),
    "mmcv_gc_add_eps": ("gc", {"reduction": 4}),
    "mmcv_gc_both_avg": ("gc", {"reduction": 8, "fuse": "both", "pooling": "avg"}),
    "mmcv_gc_mul": ("gc", {"reduction": 8, "fuse": "mul"}),
    "timm_ge_default_c32": ("ge", {"variant": "mlp"}),
    **{f"timm_ge_e{e}_nomlp": ("ge", {"extent": e}) for e in (2, 4, 8)},
    "timm_ge_e2_params_mlp_c8": (
        "ge",
        {"variant": "theta_plus", "extent": 2, "reduction": 4, "preset": "timm"},
    ),
    "timm_ge_e4_params_c8": ("ge", {"variant": "theta", "extent": 4}),
    "timm_ge_global_nomlp": ("ge", {}),
    "timm_ge_global_params_14_c8": ("ge", {"variant": "theta", "preset": "timm"}),
    "timm_ge_global_params_7_c8": ("ge", {"variant": "theta", "preset": "timm"}),
    "ge_theta_global_14": ("ge", {"variant": "theta", "use_bias": True}),
    "ge_theta_global_7": ("ge", {"variant": "theta", "use_bias": True}),
}


def values_per_channel(case: parity.Case, norm: str) -> int:
    """Positions that a norm of the gather sees: one a picture at the global extent, else halved each time."""
    pictures, height, width, _ = case["x"].shape
    if (height, width) == (7, 7):
        return pictures
    step = 2 ** int(norm[-1])
    return pictures * -(-height // step) * -(-width // step)


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    parity.check_file(golden, file, name, options, counts=values_per_channel)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 7, 6, 8)) + RNG.normal(size=(2, 1, 1, 8))
MAP = jnp.asarray(X, jnp.float32)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def random_variables(module: Any, x: jax.Array = MAP) -> Any:
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    return jax.tree.map(lambda p: jnp.asarray(abs(rng.normal(size=p.shape)), p.dtype), shapes)


@pytest.mark.parametrize("preset", ["official", "timm"])
@pytest.mark.parametrize("pooling", ["att", "avg"])
def test_added_context_starts_as_the_identity(preset: str, pooling: str) -> None:
    module = attention.create("gc", preset=preset, pooling=pooling)
    y, _ = module.init_with_output(jax.random.key(0), MAP)
    np.testing.assert_array_equal(y, MAP)


def test_multiplied_official_context_starts_at_one_half() -> None:
    module = attention.create("gc", fuse="mul")
    y, _ = module.init_with_output(jax.random.key(0), MAP)
    np.testing.assert_array_equal(y, 0.5 * MAP)


def test_equal_logits_pool_the_mean_and_a_large_one_picks_its_position() -> None:
    shares = shares_of(jnp.full((2, 7, 6), 3.0))
    context = attention_pool(MAP, shares)
    np.testing.assert_allclose(context, X.mean((1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shares, 1 / 42, rtol=1e-5)
    context = attention_pool(MAP, shares_of(jnp.zeros((2, 7, 6)).at[:, 4, 1].set(200.0)))
    np.testing.assert_allclose(context, MAP[:, 4, 1], rtol=1e-5)


def test_the_softmax_over_positions_keeps_its_digits_in_bfloat16() -> None:
    x = jnp.ones((1, 56, 56, 4), jnp.bfloat16)
    shares = shares_of(jnp.zeros((1, 56, 56), jnp.bfloat16))
    context = attention_pool(x, shares)
    assert context.dtype == shares.dtype == jnp.float32
    np.testing.assert_allclose(context, 1, rtol=1e-5)


def test_both_transforms_see_the_context_of_the_input() -> None:
    module = attention.create("gc", fuse="both", reduction=2)
    state = random_variables(module)
    y, sown = module.apply(state, MAP, mutable=["attention"])
    sown = sown["attention"]
    assert set(sown) == {"weights", "shift", "spatial"}
    np.testing.assert_allclose(
        y, MAP * sown["weights"][:, None, None] + sown["shift"][:, None, None], rtol=1e-5
    )
    np.testing.assert_allclose(sown["spatial"].sum((1, 2)), 1, rtol=1e-5)
    params = state["params"]
    alone = {"mask": params["mask"], "add": params["add"]}
    added = attention.create("gc", reduction=2).apply({"params": alone}, MAP) - MAP
    np.testing.assert_allclose(added[:, 0, 0], sown["shift"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "channels", "width"),
    [
        ({}, 256, 16),
        ({}, 16, 4),
        ({"min_width": 1}, 16, 1),
        ({"reduction": 4}, 64, 16),
        ({"preset": "timm"}, 64, 8),
        ({"preset": "timm"}, 20, 3),
        ({"preset": "timm"}, 2, 1),
    ],
)
def test_width_of_the_context_transform(options: dict[str, Any], channels: int, width: int) -> None:
    x = jax.ShapeDtypeStruct((1, 3, 3, channels), jnp.float32)
    shapes = jax.eval_shape(attention.create("gc", **options).init, jax.random.key(0), x)
    assert shapes["params"]["add"]["reduce"]["kernel"].shape == (channels, width)


def test_multiplied_context_takes_a_hard_gate() -> None:
    module = attention.create("gc", fuse="mul", gate="top_k", fraction=0.25)
    _, sown = module.apply(random_variables(module), MAP, mutable=["attention"])
    np.testing.assert_array_equal((sown["attention"]["weights"] == 4).sum(-1), 2)


def brute_force_mean(x: np.ndarray, extent: int) -> np.ndarray:
    _, height, width, _ = x.shape
    rows, columns = range(0, height, extent), range(0, width, extent)
    cells = [
        [
            x[
                :,
                max(i - extent + 1, 0) : i + extent,
                max(j - extent + 1, 0) : j + extent,
            ].mean((1, 2))
            for j in columns
        ]
        for i in rows
    ]
    return np.stack([np.stack(row, axis=1) for row in cells], axis=1)


@pytest.mark.parametrize("extent", [2, 4, 8])
def test_an_extent_is_a_mean_over_the_cells_inside_the_map(extent: int) -> None:
    for x in (X, X[:, :1, :1]):
        ours = gather_mean(jnp.asarray(x, jnp.bfloat16), extent)
        assert ours.dtype == jnp.float32
        ours = gather_mean(jnp.asarray(x, jnp.float32), extent)
        np.testing.assert_allclose(ours, brute_force_mean(x, extent), rtol=1e-4, atol=1e-5)


def test_nearest_rounds_down_as_pytorch_does() -> None:
    w = jnp.arange(4.0)[None, :, None, None] * jnp.ones((1, 4, 2, 1))
    np.testing.assert_array_equal(nearest(w, (7, 4))[0, :, 0, 0], [0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(nearest(w, (8, 4))[0, :, 3, 0], [0, 0, 1, 1, 2, 2, 3, 3])


def test_theta_minus_over_the_whole_map_is_the_sigmoid_of_the_mean() -> None:
    y = attention.create("ge").apply({}, MAP)
    expected = X * sigmoid(X.mean((1, 2), keepdims=True))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_mlp_over_the_whole_map_is_squeeze_excitation() -> None:
    se = attention.create("se", reduction=4)
    state = random_variables(se)
    y = attention.create("ge", variant="mlp", reduction=4).apply(state, MAP)
    np.testing.assert_allclose(y, se.apply(state, MAP), rtol=1e-6)


def test_theta_plus_has_a_relu_after_its_last_norm_unless_it_is_timms() -> None:
    options = {"variant": "theta_plus", "extent": 2, "reduction": 2}
    module = attention.create("ge", **options)
    state = random_variables(module)
    params, stats = state["params"], state["batch_stats"]["gather"]["norm1"]
    kernel = np.asarray(params["gather"]["conv1"]["kernel"], np.float64)[:, :, 0]
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)))
    z = np.zeros((2, 4, 3, 8))
    for i in range(4):
        for j in range(3):
            window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            z[:, i, j] = (window * kernel).sum((1, 2))
    norm = params["gather"]["norm1"]
    z = (z - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * norm["scale"] + norm["bias"]
    reduce, expand = params["mix"]["reduce"], params["mix"]["expand"]
    for preset, gathered in (("official", np.maximum(z, 0)), ("timm", z)):
        hidden = np.maximum(gathered @ reduce["kernel"] + reduce["bias"], 0)
        w = sigmoid(hidden @ expand["kernel"] + expand["bias"])
        w = w[:, [0, 0, 1, 1, 2, 2, 3]][:, :, [0, 0, 1, 1, 2, 2]]
        y = attention.create("ge", preset=preset, **options).apply(state, MAP)
        np.testing.assert_allclose(y, X * w, rtol=1e-4, atol=1e-5)
    assert np.any(z < 0)


@pytest.mark.parametrize("variant", ["theta", "theta_plus"])
@pytest.mark.parametrize("extent", [2, 4, 8])
def test_learned_gathers_work_on_any_map(variant: str, extent: int) -> None:
    module = attention.create("ge", variant=variant, extent=extent)
    state = module.init(jax.random.key(0), MAP)
    names = {f"{kind}{n}" for kind in ("conv", "norm") for n in range(1, extent.bit_length())}
    assert set(state["params"]["gather"]) == names
    for shape in ((1, 1, 1, 8), (2, 9, 5, 8)):
        y = jax.eval_shape(module.apply, state, jnp.ones(shape, jnp.bfloat16))
        assert (y.shape, y.dtype) == (shape, jnp.bfloat16)


def test_a_global_kernel_refuses_maps_of_another_size() -> None:
    module = attention.create("ge", variant="theta")
    state = module.init(jax.random.key(0), MAP)
    with pytest.raises(
        UsageError, match=r"ge: the global kernel is for maps of 7x6, not 8x6;"
    ) as e:
        module.apply(state, jnp.ones((1, 8, 6, 8)))
    assert "\n" not in str(e.value)
    timm = attention.create("ge", variant="theta", preset="timm")
    assert timm.apply(state, jnp.ones((1, 8, 6, 8))).shape == (1, 8, 6, 8)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 0),
        ({"variant": "theta", "extent": 8}, 3 * 11 * 8),
        ({"variant": "theta"}, (42 + 2) * 8),
        ({"variant": "theta", "use_bias": True}, (42 + 3) * 8),
        ({"variant": "theta_plus", "reduction": 4}, (42 + 2) * 8 + 2 * 8 * 2 + 8 + 2),
        ({"variant": "mlp", "reduction": 4}, 2 * 8 * 2 + 8 + 2),
    ],
)
def test_parameters_of_the_variants(options: dict[str, Any], count: int) -> None:
    shapes = jax.eval_shape(attention.create("ge", **options).init, jax.random.key(0), MAP)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes.get("params", {}))) == count


def test_gathered_cells_take_a_hard_gate() -> None:
    module = attention.create("ge", extent=4, gate=gate.get("top_k", fraction=0.5))
    _, sown = module.apply({}, MAP, mutable=["attention"])
    weights = sown["attention"]["weights"]
    assert weights.shape == (2, 2, 2, 8)
    np.testing.assert_array_equal((weights == 2).sum(-1), 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gc", {"preset": "mmcv"}, "gc: unknown preset 'mmcv'; valid: official, timm"),
        ("gc", {"fuse": "scale"}, "gc: unknown fuse 'scale'; valid: add, mul, both"),
        ("gc", {"pooling": "max"}, "gc: unknown pooling 'max'; valid: att, avg"),
        ("gc", {"reduction": 0}, "gc: reduction must be positive, not 0"),
        ("gc", {"min_width": 0}, "gc: min_width must be positive, not 0"),
        ("gc", {"gate": "tanh"}, "gc: fuse 'add' has no gate, so 'tanh' needs 'mul' or 'both'"),
        ("gc", {"fuse": "mul", "gate": "tan"}, "unknown gate 'tan'"),
        ("ge", {"variant": "theta+"}, "ge: unknown variant 'theta.'; valid: theta_minus, theta,"),
        ("ge", {"extent": 6}, "ge: unknown extent 6; valid: 0, 2, 4, 8"),
        ("ge", {"preset": "paper"}, "ge: unknown preset 'paper'; valid: official, timm"),
        ("ge", {"use_bias": True}, "use_bias needs convolutions, which variant 'theta_minus' has"),
        ("ge", {"reduction": 0}, "reduction must be positive, not 0"),
    ],
)
def test_bad_options_get_one_line_that_names_them(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options)
    assert "\n" not in str(error.value)
