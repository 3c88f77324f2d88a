"""Frequency channel attention: the authors' arrays, their bases, and what the cosine transform promises."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import attention
from chanattn.attention.fca import squeeze
from chanattn.attention.functional import fca
from chanattn.errors import UsageError
from chanattn.layers.pool import adaptive_avg_pool

# file -> frequencies, DCT grid, reduction
FILES: dict[str, tuple[str, tuple[int, int], int]] = {
    "fca_bot8_32": ("bot8", (32, 32), 4),
    "fca_low16_14x7": ("low16", (14, 7), 16),
    "fca_low2_8": ("low2", (8, 8), 16),
    "fca_top16_14": ("top16", (14, 14), 4),
    "fca_top16_28": ("top16", (28, 28), 4),
    "fca_top16_56": ("top16", (56, 56), 4),
    "fca_top16_7": ("top16", (7, 7), 16),
    "fca_top1_14": ("top1", (14, 14), 4),
    "fca_top4_4": ("top4", (4, 4), 4),
}


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    frequencies, grid, reduction = FILES[file]
    options = {"frequencies": frequencies, "grid": grid, "reduction": reduction}
    parity.check_file(golden, file, "fca", options)


@pytest.mark.parametrize("file", ["fca_top16_14", "fca_top16_7", "fca_low16_14x7", "fca_low2_8"])
def test_the_default_grid_is_the_size_of_the_map(file: str, golden: Path) -> None:
    frequencies, grid, reduction = FILES[file]
    arrays = parity.load(golden / "modules" / f"{file}.npz")
    x = jnp.asarray(arrays["x"])
    assert x.shape[1:3] == grid
    module = attention.create("fca", frequencies=frequencies, reduction=reduction)
    variables = {
        "params": {
            "mix": {
                "reduce": {"kernel": arrays["p:fc.0.weight"].T},
                "expand": {"kernel": arrays["p:fc.2.weight"].T},
            }
        }
    }
    parity.assert_close(module.apply(variables, x), arrays["y"], parity.OUTPUT, "output")


@pytest.mark.parametrize("file", FILES)
def test_the_basis_equals_the_reference(file: str, golden: Path) -> None:
    frequencies, (height, width), _ = FILES[file]
    buffer = parity.load(golden / "modules" / f"{file}.npz")["p:dct_layer.weight"]
    basis = fca.basis(fca.components(frequencies), height, width)
    repeated = np.repeat(basis, buffer.shape[0] // basis.shape[-1], axis=-1)
    parity.assert_close(repeated.transpose(2, 0, 1), buffer, 1e-6, "basis")


@pytest.mark.parametrize("ranking", ["top", "low", "bot"])
def test_rankings_are_nested_lists_of_distinct_components(ranking: str) -> None:
    every = fca.components(f"{ranking}32")
    assert len(set(every)) == 32
    for count in (1, 2, 4, 8, 16):
        assert fca.components(f"{ranking}{count}") == every[:count]


def test_low_frequencies_come_in_the_order_of_their_sum_at_first() -> None:
    assert fca.components("low6") == ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
    assert fca.components("top1") == fca.components("0,0") == ((0, 0),)


def test_a_basis_of_all_components_is_orthonormal() -> None:
    every = tuple((u, v) for u in range(7) for v in range(7))
    basis = fca.basis(every, 7, 7).reshape(49, 49)
    np.testing.assert_allclose(basis.T @ basis, np.eye(49), atol=1e-6)


def test_the_zero_frequency_of_a_constant_map_is_the_root_of_its_size_times_the_value() -> None:
    x = jnp.broadcast_to(jnp.arange(1.0, 9.0), (2, 9, 8, 8))
    s = squeeze(x, fca.components("top1"))
    np.testing.assert_allclose(s, np.sqrt(72) * x[:, 0, 0], rtol=1e-6)


def test_the_first_index_runs_along_the_height() -> None:
    rows = jnp.cos(jnp.pi * (jnp.arange(8) + 0.5) / 8)
    x = jnp.broadcast_to(rows[None, :, None, None], (1, 8, 7, 2))
    along, across = (squeeze(x, fca.components(name))[0, 0] for name in ("1,0", "0,1"))
    np.testing.assert_allclose(along, np.sqrt(8 * 7 / 2), rtol=1e-6)
    np.testing.assert_allclose(across, 0, atol=1e-6)


def test_a_small_grid_leaves_the_mean_alone() -> None:
    x = feature_map(2, 6, 6, 32)
    for frequencies in ("top16", "bot4"):
        s = squeeze(x, fca.components(frequencies), grid=(6, 6))
        np.testing.assert_allclose(s, 6 * x.mean(axis=(1, 2)), rtol=1e-5, atol=1e-5)


def test_small_maps_are_pooled_up_to_the_least_grid_that_tells_frequencies_apart() -> None:
    x = feature_map(2, 4, 9, 32)
    pooled = adaptive_avg_pool(x, (7, 9))
    s = squeeze(x, fca.components("top16"))
    np.testing.assert_allclose(s, squeeze(pooled, fca.components("top16")), rtol=1e-5, atol=1e-5)
    assert not np.allclose(s, np.sqrt(63) * x.mean(axis=(1, 2)), atol=0.1)


@pytest.mark.parametrize(("size", "cells"), [((13, 9), (7, 7)), ((5, 4), (7, 3)), ((1, 1), (2, 4))])
def test_adaptive_pooling_averages_overlapping_bins(
    size: tuple[int, int], cells: tuple[int, int]
) -> None:
    x = np.asarray(feature_map(2, *size, 3))
    expected = np.zeros((2, *cells, 3))
    for i in range(cells[0]):
        for j in range(cells[1]):
            top, left = (i * size[0]) // cells[0], (j * size[1]) // cells[1]
            bottom = int(np.ceil((i + 1) * size[0] / cells[0]))
            right = int(np.ceil((j + 1) * size[1] / cells[1]))
            expected[:, i, j] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    np.testing.assert_allclose(adaptive_avg_pool(jnp.asarray(x), cells), expected, atol=1e-6)


def test_a_learned_basis_starts_from_the_cosines_and_learns() -> None:
    x = feature_map(2, 14, 7, 16)
    learned = attention.create("fca", basis="learned", frequencies="top4")
    variables = jax.jit(learned.init)(jax.random.key(1), x)
    basis = variables["params"]["squeeze"]["basis"]
    assert basis.shape == (14, 7, 16)
    fixed = attention.create("fca", frequencies="top4")
    rest = {"params": {"mix": variables["params"]["mix"]}}
    np.testing.assert_allclose(learned.apply(variables, x), fixed.apply(rest, x), rtol=1e-5)

    gradient = jax.grad(lambda v: jnp.sum(learned.apply(v, x) ** 2))(variables)
    assert np.all(np.abs(gradient["params"]["squeeze"]["basis"]).max(axis=(0, 1)) > 0)


def test_a_learned_basis_sees_maps_of_other_sizes_through_pooling() -> None:
    x, larger = feature_map(1, 7, 7, 16), feature_map(1, 14, 14, 16)
    module = attention.create("fca", basis="learned")
    variables = jax.jit(module.init)(jax.random.key(1), x)
    apply = jax.jit(partial(module.apply, mutable=["attention"]))
    _, pooled = apply(variables, adaptive_avg_pool(larger, (7, 7)))
    _, direct = apply(variables, larger)
    np.testing.assert_allclose(
        direct["attention"]["weights"], pooled["attention"]["weights"], rtol=1e-5
    )
    fixed_size = attention.create("fca", basis="learned", grid=(4, 5))
    shapes = jax.eval_shape(fixed_size.init, jax.random.key(1), x)
    assert shapes["params"]["squeeze"]["basis"].shape == (4, 5, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequencies": "top33"}, "unknown frequencies 'top33'; valid: top, low or bot"),
        ({"frequencies": "top0"}, "unknown frequencies 'top0'"),
        ({"frequencies": "mid4"}, "unknown frequencies 'mid4'"),
        ({"frequencies": "0,7"}, "unknown frequencies '0,7'"),
        ({"frequencies": "0"}, "unknown frequencies '0'"),
        ({"frequencies": ""}, "unknown frequencies ''"),
        ({"basis": "free"}, "unknown basis 'free'; valid: fixed, learned, random, learned_random"),
        (
            {"basis": "random", "frequencies": "top4"},
            "basis 'random' has no frequencies; leave 'top4'",
        ),
        ({"grid": (7,)}, r"grid must be two positive numbers, height and width, not \(7,\)"),
        ({"grid": (0, 7)}, "grid must be two positive numbers"),
        ({"reduction": 0}, "reduction must be positive"),
        ({"gate": "softish"}, "unknown gate 'softish'"),
    ],
)
def test_bad_options_get_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create("fca", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("basis", ["random", "learned_random"])
def test_a_random_basis_is_uniform_and_learns_only_if_told(basis: str) -> None:
    x = feature_map(2, 8, 9, 32)
    module = attention.create("fca", basis=basis)
    variables = jax.jit(module.init)(jax.random.key(1), x)
    collection, other = (
        ("params", "batch_stats") if basis == "learned_random" else ("batch_stats", "params")
    )
    drawn = np.asarray(variables[collection]["squeeze"]["basis"])
    assert "squeeze" not in variables.get(other, {})
    assert drawn.shape == (8, 9, 32)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 4 / np.sqrt(12 * drawn.size)
    again = jax.jit(module.init)(jax.random.key(2), x)[collection]["squeeze"]["basis"]
    assert np.abs(drawn - again).max() > 0.5

    s = np.einsum("nhwc,hwc->nc", x, drawn)
    mix = variables["params"]["mix"]
    z = np.maximum(s @ mix["reduce"]["kernel"], 0) @ mix["expand"]["kernel"]
    y, state = module.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, x / (1 + np.exp(-z))[:, None, None], rtol=1e-4, atol=1e-5)
    if basis == "random":
        np.testing.assert_array_equal(state["batch_stats"]["squeeze"]["basis"], drawn)


@pytest.mark.parametrize("basis", ["fixed", "learned"])
def test_channels_that_do_not_divide_are_refused(basis: str) -> None:
    module = attention.create("fca", basis=basis)
    with pytest.raises(UsageError, match="16 frequencies do not divide 24 channels"):
        jax.eval_shape(module.init, jax.random.key(0), feature_map(1, 7, 7, 24))
