"""Gates with a spatial part equal their reference implementations, or the equations where there is none."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import attention
from chanattn.attention.bat import bilinear, common_block
from chanattn.errors import UsageError
from chanattn.interop import from_torch

# file -> mechanism, options
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "bam_c32": ("bam", {}),
    "bam_sum_c32": ("bam", {"preset": "paper"}),
    "coord_official_c32": ("coord", {}),
    "coord_official_c32_r2": ("coord", {"reduction": 2}),
    "timm_coord_c16": ("coord", {"preset": "timm"}),
    "timm_coord_bias_skip_c16": ("coord", {"preset": "timm", "use_bias": True, "skip": True}),
    "timm_scoord_c24": ("simple_coord", {}),
    "timm_ela_c24": ("ela", {}),
    "timm_strip_c24": ("strip", {}),
    "triplet": ("triplet", {}),
    "triplet_nospatial": ("triplet", {"spatial": False}),
    "danet_cam": ("danet_cam", {}),
    "danet_cam_saturated": ("danet_cam", {}),
    "danet_cam_paper": ("danet_cam", {"preset": "paper"}),
    "polarized_official_parallel_c16": ("polarized", {}),
    "polarized_official_sequential_c32": ("polarized", {"combine": "sequential"}),
    "polarized_port_parallel_c16": ("polarized", {"preset": "paper"}),
    "polarized_port_sequential_c16": (
        "polarized",
        {"preset": "paper", "combine": "sequential"},
    ),
    "non_local_official_c16": ("non_local", {}),
    "timm_non_local_c16": ("non_local", {"preset": "timm"}),
    "timm_non_local_c72_r4": (
        "non_local",
        {"preset": "timm", "reduction": 4, "use_scale": False},
    ),
    "bat_official_c16_b2": ("bat", {"block_size": 2, "drop_rate": 0.0}),
    "timm_bat_c16_b3": ("bat", {"preset": "timm", "block_size": 3, "drop_rate": 0.0}),
    "timm_bat_c16_b7": ("bat", {"preset": "timm"}),
    "timm_bat_c32_b2_g4": ("bat", {"preset": "timm", "reduction": 2, "groups": 4}),
}


def values_per_channel(case: parity.Case, norm: str) -> int:
    """Norms on pooled vectors, on strips and on rotated maps see other numbers of values."""
    pictures, height, width, channels = case["x"].shape
    per_picture = {
        "channel/norm": 1,
        "bn": height + width,
        "cw/bn": channels * width,
        "hc/bn": height * channels,
    }
    return pictures * per_picture.get(norm, height * width)


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    momentum = 0.99 if name == "triplet" else 0.9
    parity.check_file(golden, file, name, options, momentum=momentum, counts=values_per_channel)


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


def variables_of(module: Any, x: jax.Array) -> Any:
    """Random values everywhere, so that no zero initialisation hides anything."""
    shapes = jax.eval_shape(module.init, jax.random.key(1), x)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> jax.Array:
        values = rng.normal(size=leaf.shape) * 0.5
        return jnp.asarray(abs(values) + 0.1 if "'var'" in str(path) else values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def apply(module: Any, variables: Any, x: jax.Array, **options: Any) -> Any:
    """`module.apply`, compiled as one program; one for each operation takes many times as long."""
    return jax.jit(lambda variables, x: module.apply(variables, x, **options))(variables, x)


def exact(module: Any, variables: Any, x: Any) -> np.ndarray:
    with jax.default_matmul_precision("highest"):
        return np.asarray(apply(module, variables, jnp.asarray(x, jnp.float32)))


def torch_layer(rng: np.random.Generator, outputs: int, *inputs: int) -> dict[str, np.ndarray]:
    """Weight and bias of a convolution in PyTorch's layout."""
    return {"weight": rng.normal(size=(outputs, *inputs)) * 0.5, "bias": rng.normal(size=outputs)}


def named(**layers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        f"{name}.{leaf}": array for name, leaves in layers.items() for leaf, array in leaves.items()
    }


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(values - values.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


SHAPES = [(2, 6, 4), (1, 1, 1), (2, 1, 5)]


@pytest.mark.parametrize("combine", ["parallel", "sequential", "channel"])
@pytest.mark.parametrize("shape", SHAPES)
def test_polarized_follows_the_equations_of_the_paper(
    shape: tuple[int, int, int], combine: str
) -> None:
    """Equations 4, 6, 8 and 9 of arXiv:2107.00782, position by position."""
    c, half = 12, 6
    rng = np.random.default_rng(3)
    layers = {
        "ch_wq": torch_layer(rng, 1, c, 1, 1),
        "ch_wv": torch_layer(rng, half, c, 1, 1),
        "ch_wz": torch_layer(rng, c, half, 1, 1),
        "ln": torch_layer(rng, c),
        "sp_wq": torch_layer(rng, half, c, 1, 1),
        "sp_wv": torch_layer(rng, half, c, 1, 1),
    }
    if combine == "channel":
        layers = {name: layer for name, layer in layers.items() if not name.startswith("sp_")}
    pictures = rng.normal(size=(*shape, c)) + 0.5

    def linear(name: str, vector: np.ndarray) -> np.ndarray:
        return layers[name]["weight"][:, :, 0, 0] @ vector + layers[name]["bias"]

    def channel_gate(positions: np.ndarray) -> np.ndarray:
        query = softmax(np.array([linear("ch_wq", p)[0] for p in positions]), 0)
        summed = sum(q * linear("ch_wv", p) for q, p in zip(query, positions, strict=True))
        z = linear("ch_wz", summed)
        z = (z - z.mean()) / np.sqrt(z.var() + 1e-5)
        return sigmoid(z * layers["ln"]["weight"] + layers["ln"]["bias"])

    def spatial_gate(positions: np.ndarray) -> np.ndarray:
        query = softmax(np.mean([linear("sp_wq", p) for p in positions], axis=0), 0)
        return np.array([sigmoid(query @ linear("sp_wv", p)) for p in positions])

    expected = []
    for picture in pictures:
        positions = picture.reshape(-1, c)
        y = positions * channel_gate(positions)
        if combine == "parallel":
            y = y + positions * spatial_gate(positions)[:, None]
        elif combine == "sequential":
            y = y * spatial_gate(y)[:, None]
        expected.append(y.reshape(picture.shape))

    options = {"spatial": False} if combine == "channel" else {"combine": combine}
    module = attention.create("polarized", preset="paper", **options)
    y = exact(module, from_torch("polarized", named(**layers)), pictures)
    parity.assert_close(y, np.array(expected), parity.OUTPUT, "output")


@pytest.mark.parametrize("shape", SHAPES)
def test_double_attention_follows_the_equations_of_the_paper(shape: tuple[int, int, int]) -> None:
    """Equation 5 of arXiv:1810.11579: Z = A softmax(B)^T softmax(V), columns as positions."""
    c, m, n = 10, 4, 3
    rng = np.random.default_rng(4)
    layers = {
        "convA": torch_layer(rng, m, c, 1, 1),
        "convB": torch_layer(rng, n, c, 1, 1),
        "convV": torch_layer(rng, n, c, 1, 1),
        "conv_reconstruct": torch_layer(rng, c, m, 1, 1),
    }
    pictures = rng.normal(size=(*shape, c)) + 0.5

    def linear(name: str, columns: np.ndarray) -> np.ndarray:
        return layers[name]["weight"][:, :, 0, 0] @ columns + layers[name]["bias"][:, None]

    expected = []
    for picture in pictures:
        columns = picture.reshape(-1, c).T
        gathered = linear("convA", columns) @ softmax(linear("convB", columns), 1).T
        z = gathered @ softmax(linear("convV", columns), 0)
        expected.append((columns + linear("conv_reconstruct", z)).T.reshape(picture.shape))

    module = attention.create("double", width=m, descriptors=n, use_bias=True)
    y = exact(module, from_torch("double", named(**layers)), pictures)
    parity.assert_close(y, np.array(expected), parity.OUTPUT, "output")


def test_double_attention_sums_to_one_over_positions_then_over_descriptors() -> None:
    x = feature_map(2, 3, 4, 16)
    module = attention.create("double")
    _, sown = apply(module, variables_of(module, x), x, mutable=["attention"])
    gathered = sown["attention"]["gather_weights"]
    distributed = sown["attention"]["distribute_weights"]
    assert gathered.shape == distributed.shape == (2, 12, 4)
    np.testing.assert_allclose(gathered.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(distributed.sum(axis=2), 1, rtol=1e-5)


def test_local_attention_of_the_paper_shares_its_layers_between_the_strips() -> None:
    c, k, groups = 32, 5, 16
    rng = np.random.default_rng(5)
    layers = {"conv": {"weight": rng.normal(size=(c, 1, k))}, "gn": torch_layer(rng, c)}
    x = rng.normal(size=(1, 6, 4, c)) + 0.5

    def gate(strip: np.ndarray) -> np.ndarray:
        """(C, L) to (C, L)."""
        padded = np.pad(strip, ((0, 0), (k // 2, k // 2)))
        z = np.array(
            [np.correlate(padded[i], layers["conv"]["weight"][i, 0], "valid") for i in range(c)]
        )
        blocks = z.reshape(groups, -1)
        blocks = blocks - blocks.mean(axis=1, keepdims=True)
        blocks = blocks / np.sqrt((blocks**2).mean(axis=1, keepdims=True) + 1e-5)
        scale, shift = layers["gn"]["weight"][:, None], layers["gn"]["bias"][:, None]
        return sigmoid(blocks.reshape(z.shape) * scale + shift)

    rows, columns = gate(x[0].mean(axis=1).T).T, gate(x[0].mean(axis=0).T).T
    module = attention.create("ela", preset="paper", kernel_size=k)
    y = exact(module, from_torch("ela", named(**layers)), x)
    parity.assert_close(y, x * rows[:, None] * columns, parity.OUTPUT, "output")


def exchanged(variables: Any, *pairs: tuple[str, str]) -> Any:
    """The variables with pairs of modules exchanged."""
    swap = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return {
        collection: {swap.get(name, name): leaves for name, leaves in tree.items()}
        for collection, tree in variables.items()
    }


@pytest.mark.parametrize("name", ["coord", "simple_coord", "ela", "strip"])
def test_rows_and_columns_play_the_same_role(name: str) -> None:
    x, module = feature_map(2, 6, 4, 24), attention.create(name)
    variables = variables_of(module, x)
    turned = exchanged(variables, ("rows", "columns"), ("conv_rows", "conv_columns"))
    y = exact(module, turned, x.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(y, exact(module, variables, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["coord", "ela"])
def test_weights_of_rows_and_columns_multiply(name: str) -> None:
    x, module = feature_map(2, 6, 4, 24), attention.create(name)
    y, sown = apply(module, variables_of(module, x), x, mutable=["attention"])
    rows, columns = sown["attention"]["row_weights"], sown["attention"]["column_weights"]
    np.testing.assert_allclose(y, x * rows[:, :, None] * columns[:, None], rtol=1e-5)


def test_triplet_treats_height_and_width_alike() -> None:
    x, module = feature_map(2, 6, 4, 8), attention.create("triplet")
    variables = variables_of(module, x)
    turned = exchanged(variables, ("cw", "hc"))
    turned["params"] = jax.tree.map(
        lambda leaf: leaf.swapaxes(0, 1) if leaf.ndim == 4 else leaf, turned["params"]
    )
    y = exact(module, turned, x.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(y, exact(module, variables, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_bam_multiplies_by_numbers_between_one_and_two(preset: str) -> None:
    x, module = feature_map(2, 6, 9, 32), attention.create("bam", preset=preset)
    y, sown = apply(module, variables_of(module, x), x, mutable=["attention"])
    weights = sown["attention"]["weights"]
    assert weights.shape == x.shape
    assert np.all((weights > 1) & (weights < 2))
    assert np.ptp(weights) > 0.05
    np.testing.assert_allclose(y, x * weights, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("danet_cam", {}), ("non_local", {})])
@pytest.mark.parametrize("shape", [(2, 6, 5, 16), (1, 1, 1, 16)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_residual_attention_starts_as_the_identity(
    name: str, options: dict[str, Any], shape: tuple[int, ...], dtype: Any
) -> None:
    x = feature_map(*shape).astype(dtype)
    y, _ = jax.jit(attention.create(name, **options).init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)


def test_channels_mix_with_the_most_or_the_least_similar_by_preset() -> None:
    """Two orthogonal channels of energy 10^6: each is most like itself and least like the other."""
    x = 1e3 * jnp.eye(2).reshape(1, 2, 1, 2)
    state = {"params": {"beta": jnp.float32(0.5)}}
    for preset, other in (("paper", x), ("official", x[..., ::-1])):
        y = attention.create("danet_cam", preset=preset).apply(state, x)
        np.testing.assert_array_equal(y, x + 0.5 * other)


@pytest.mark.parametrize(
    ("size", "block"),
    [
        ((56, 56), 7),
        ((7, 14), 7),
        ((32, 32), 4),
        ((8, 16), 4),
        ((12, 18), 6),
        ((13, 9), 1),
        ((1, 1), 1),
    ],
)
def test_the_block_divides_both_sides(size: tuple[int, int], block: int) -> None:
    assert common_block(*size) == block


def test_bands_are_mixed_as_by_kronecker_products() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 6, 9, 4))
    p, q = rng.normal(size=(2, 2, 2, 3, 3))
    y = bilinear(*(jnp.asarray(a, jnp.float32) for a in (x, p, q)))
    for n, c in np.ndindex(2, 4):
        left, right = np.kron(p[n, c // 2], np.eye(2)), np.kron(q[n, c // 2], np.eye(3))
        np.testing.assert_allclose(
            y[n, :, :, c], left @ x[n, :, :, c] @ right, rtol=1e-4, atol=1e-5
        )


def test_bilinear_matrices_average_bands() -> None:
    x, module = feature_map(2, 8, 12, 16), attention.create("bat")
    _, sown = apply(module, variables_of(module, x), x, mutable=["attention"])
    rows, columns = sown["attention"]["row_weights"], sown["attention"]["column_weights"]
    assert rows.shape == columns.shape == (2, 4, 4, 4)
    np.testing.assert_allclose(rows.sum(axis=3), 1, rtol=1e-5)
    np.testing.assert_allclose(columns.sum(axis=2), 1, rtol=1e-5)


def test_bilinear_dropout_drops_whole_channels_in_training_alone() -> None:
    x = feature_map(4, 4, 4, 64)
    modules = [attention.create("bat", drop_rate=rate) for rate in (0.5, 0.0)]
    variables = variables_of(modules[0], x)
    np.testing.assert_array_equal(*(apply(module, variables, x) for module in modules))
    dropped, kept = (
        apply(
            module,
            variables,
            x,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )[0]
        - x
        for module in modules
    )
    open_ = np.any(dropped, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(dropped, np.where(open_, 2 * kept, 0), rtol=1e-3, atol=1e-5)
    active = np.any(kept, axis=(1, 2))
    assert 0.3 < open_[:, 0, 0][active].mean() < 0.7


@pytest.mark.parametrize("name", ["bam", "coord", "simple_coord", "ela", "strip", "polarized"])
def test_channel_gates_can_be_hard_and_anneal(name: str) -> None:
    x = feature_map(2, 4, 6, 32)
    module = attention.create(name, gate="gumbel_sigmoid", anneal_rate=0.1)
    key = jax.random.key(0)
    variables = jax.jit(module.init)({"params": key, "dropout": key}, x)
    y, new = apply(
        module, variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats", "losses"]
    )
    assert np.isfinite(y).all()
    (temperature,) = (
        leaf
        for path, leaf in jax.tree.leaves_with_path(new["batch_stats"])
        if "temperature" in jax.tree_util.keystr(path)
    )
    np.testing.assert_allclose(temperature, np.exp(-0.1), rtol=1e-6)
    assert len(jax.tree.leaves(new["losses"])) == 1


def test_strips_without_convolution_have_no_parameters() -> None:
    x = feature_map(2, 4, 6, 8)
    y, variables = attention.create("strip", use_conv=False).init_with_output(jax.random.key(0), x)
    assert not variables
    sums = np.mean(x, axis=2, keepdims=True) + np.mean(x, axis=1, keepdims=True)
    np.testing.assert_allclose(y, x * sigmoid(sums), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bam", {"preset": "timm"}, "bam: unknown preset 'timm'; valid: official, paper"),
        ("bam", {"reduction": 0}, "bam: reduction must be positive, not 0"),
        ("bam", {"dilation": 0}, "bam: dilation must be positive, not 0"),
        ("bam", {"gate": "sigmoidal"}, "unknown gate 'sigmoidal'"),
        ("coord", {"preset": "paper"}, "coord: unknown preset 'paper'; valid: official, timm"),
        ("coord", {"reduction": -1}, "coord: reduction must be positive, not -1"),
        ("coord", {"act": "mish"}, "unknown activation 'mish'"),
        ("simple_coord", {"reduction": 0}, "simple_coord: reduction must be positive, not 0"),
        ("ela", {"preset": "official"}, "ela: unknown preset 'official'; valid: timm, paper"),
        ("ela", {"kernel_size": 4}, "kernel_size must be odd and positive, not 4"),
        ("strip", {"kernel_size": 2}, "kernel_size must be odd and positive, not 2"),
        ("triplet", {"kernel_size": 6}, "kernel_size must be odd and positive, not 6"),
        (
            "danet_cam",
            {"preset": "timm"},
            "danet_cam: unknown preset 'timm'; valid: official, paper",
        ),
        (
            "polarized",
            {"preset": "timm"},
            "polarized: unknown preset 'timm'; valid: official, paper",
        ),
        ("polarized", {"combine": "both"}, "unknown combine 'both'; valid: parallel, sequential"),
        ("double", {"descriptors": 0}, "double: descriptors must be positive, not 0"),
        ("non_local", {"preset": "paper"}, "unknown preset 'paper'; valid: official, timm"),
        ("non_local", {"reduction": 0}, "non_local: reduction must be positive, not 0"),
        ("bat", {"preset": "paper"}, "bat: unknown preset 'paper'; valid: official, timm"),
        ("bat", {"block_size": 0}, "bat: block_size must be positive, not 0"),
        ("bat", {"drop_rate": 1.0}, r"bat: drop_rate must be in \[0, 1\), not 1.0"),
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
        ("bat", {"block_size": 7}, "bat: block_size=7 does not divide the map 14 x 6"),
        ("bat", {"groups": 5}, "bat: groups=5 do not divide 12 inner channels"),
        ("ela", {"preset": "paper"}, "16 groups, which do not divide 24 channels"),
    ],
)
def test_maps_that_do_not_fit_are_refused_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options).init(jax.random.key(0), feature_map(1, 14, 6, 24))
    assert "\n" not in str(error.value)
