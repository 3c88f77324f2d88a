"""The counter of multiply-accumulates, against counts by hand and published ones."""

import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from chanattn import attention, macs, models
from chanattn.layers import Conv


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def count_conv(**options: Any) -> macs.Macs:
    module = Conv(12, **options)
    x = shape(2, 9, 7, 8)
    return macs.count(module.apply, jax.eval_shape(module.init, jax.random.key(0), x), x)


def test_convolutions() -> None:
    assert count_conv(kernel_size=3).conv == 2 * 9 * 7 * 12 * 8 * 9
    assert count_conv(kernel_size=3, stride=2).conv == 2 * 5 * 4 * 12 * 8 * 9
    assert count_conv(kernel_size=3, groups=4).conv == 2 * 9 * 7 * 12 * 2 * 9
    assert count_conv(kernel_size=5, dilation=2).conv == 2 * 9 * 7 * 12 * 8 * 25


def test_products_of_matrices_and_of_elements() -> None:
    counted = macs.count(lambda a, b: 2 * jnp.einsum("nij,njk->nik", a, b), *[shape(3, 4, 4)] * 2)
    assert counted == macs.Macs(dot=3 * 4 * 4 * 4, elementwise=3 * 4 * 4)
    assert counted.total == 192
    assert counted.products == 240


def test_calls_loops_and_branches_are_followed() -> None:
    def square(x: jax.Array) -> jax.Array:
        return jax.jit(lambda x: x @ x)(x)

    def loop(x: jax.Array) -> jax.Array:
        return lax.scan(lambda carry, _: (square(carry), None), x, length=5)[0]

    def branch(x: jax.Array) -> jax.Array:
        return lax.cond(x[0, 0] > 0, lambda x: x, lambda x: square(square(x)), x)

    assert macs.count(loop, shape(4, 4)).dot == 5 * 64
    assert macs.count(branch, shape(4, 4)).dot == 2 * 64
    assert macs.count(jax.checkpoint(square), shape(4, 4)).dot == 64


def test_squeeze_and_excitation_costs_what_its_paper_says() -> None:
    measured = attention.describe("se").measure(channels=256, size=14)
    d, channels, positions = 16, 256, 14 * 14
    assert measured.parameters == 2 * channels * d + channels + d
    # Two layers and the scaling of the map, and the mean's division by the number of positions.
    assert measured.macs == 2 * channels * d + channels * positions + channels


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "resnest14d"])
def test_networks_count_as_published(name: str, golden: Path) -> None:
    with (golden / "params.csv").open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["name"] == name)
    model, x = models.create(name), shape(1, 224, 224, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    # Split attention's weighted sum is a matrix product here, and element-wise in the published count.
    tolerance = 1e-3 if name == "resnest14d" else 0
    published = int(row["macs224_conv_linear"])
    assert macs.count(model.apply, variables, x).total == pytest.approx(published, rel=tolerance)


def test_counts_are_divided_over_the_scopes_that_operations_stand_in() -> None:
    def function(x: jax.Array) -> jax.Array:
        with jax.named_scope("outer"):
            x = x @ x
            with jax.named_scope("inner"):
                x = jax.jit(lambda x: x @ x @ x)(x)
        return lax.scan(lambda carry, _: (carry @ carry, None), x, length=3)[0]

    counts = macs.count_by_scope(function, shape(4, 4))
    assert {scope: counted.dot for scope, counted in counts.items()} == {
        ("outer",): 64,
        ("outer", "inner"): 2 * 64,
        (): 3 * 64,
    }
    assert macs.total(counts) == macs.count(function, shape(4, 4))
