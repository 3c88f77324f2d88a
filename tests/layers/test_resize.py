"""Interpolation against PyTorch's."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn.layers import bilinear, kernels, nearest

Sizes = tuple[tuple[int, int], tuple[int, int]]
SIZES = ["5x7_to_11x13", "4x6_to_16x24", "9x7_to_4x5", "13x10_to_6x23", "1x3_to_4x9", "6x5_to_1x1"]
SIZES += ["7x7_to_7x7"]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("fast", ["plain", "xla"])
def test_equals_the_reference(sizes: str, fast: str, golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "seg_resize.npz")
    x, g = arrays[f"x_{sizes}"], arrays[f"g_{sizes}"]
    with kernels.chosen(fast):
        for aligned in (False, True):
            y, pull = jax.vjp(lambda x, a=aligned: bilinear(x, g.shape[1:3], align_corners=a), x)
            kind = f"ac{int(aligned)}_{sizes}"
            parity.assert_close(y, arrays[f"y_{kind}"], parity.OUTPUT, kind)
            parity.assert_close(pull(g)[0], arrays[f"dx_{kind}"], parity.GRADIENT, kind)
        np.testing.assert_array_equal(nearest(x, g.shape[1:3]), arrays[f"y_nearest_{sizes}"])


@pytest.mark.parametrize(
    "sizes", [((1, 1), (40, 3)), ((2, 3), (80, 5)), ((5, 7), (2, 2)), ((4, 4), (1, 9))]
)
def test_sums_over_neighbours_equal_products_with_matrices(sizes: Sizes) -> None:
    old, new = sizes
    x = np.random.default_rng(0).normal(size=(2, *old, 3)).astype(np.float32)
    g = np.random.default_rng(1).normal(size=(2, *new, 3)).astype(np.float32)

    def both(resize: Callable[..., jax.Array], fast: str) -> list[jax.Array]:
        with kernels.chosen(fast):
            y, pull = jax.vjp(lambda x: resize(x, new), jnp.asarray(x))
            return [y, *pull(jnp.asarray(g))]

    for resize in (bilinear, nearest, functools.partial(bilinear, align_corners=True)):
        for fast, plain in zip(both(resize, "xla"), both(resize, "plain"), strict=True):
            np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5)
