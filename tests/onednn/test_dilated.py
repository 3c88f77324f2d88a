"""Dilated convolutions on the phases of the map equal JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_convolution import plain_convolution

from chanattn import onednn
from chanattn.onednn import dilated, operations
from chanattn.onednn.convolution import Geometry

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN is absent")


def geometry(
    image=(2, 9, 8, 4), outputs=6, dilation=(2, 2), padding=None, groups=1, strides=(1, 1)
):
    kernel = (3, 3, image[3] // groups, outputs)
    padding = padding or tuple((distance, distance) for distance in dilation)
    return Geometry(image, kernel, strides, padding, dilation, groups)


@pytest.fixture
def without_code_for_it(monkeypatch):
    """As on a processor for which oneDNN has no code for such gradients."""
    monkeypatch.setattr(dilated, "multiplies_patches", lambda *_: True)


@pytest.mark.usefixtures("without_code_for_it")
@pytest.mark.parametrize(
    "given",
    [
        geometry(),
        geometry(dilation=(1, 3)),
        geometry(image=(1, 7, 10, 4), dilation=(4, 2)),
        geometry(groups=2),
        geometry(padding=((0, 2), (4, 0))),
    ],
)
def test_the_gradient_equals_that_of_the_plain_convolution(given):
    numbers = np.random.default_rng(0)
    x, dy = (
        jnp.asarray(numbers.standard_normal(shape), jnp.float32)
        for shape in (given.image, given.output)
    )

    _, pull = jax.vjp(lambda kernel: plain_convolution(x, kernel, given), jnp.zeros(given.kernel))
    assert dilated.phases_of(given) is not None
    found = jax.jit(operations._kernel_gradient, static_argnums=2)(x, dy, given)
    np.testing.assert_allclose(found, pull(dy)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("without_code_for_it")
@pytest.mark.parametrize(
    "given",
    [
        geometry(dilation=(1, 1)),
        geometry(strides=(2, 2)),
        geometry(image=(2, 9, 8, 17)),
        geometry(padding=((1, 2), (2, 2))),
    ],
)
def test_all_else_is_left_to_onednn(given):
    assert dilated.phases_of(given) is None


def test_where_onednn_has_code_of_its_own_it_computes(monkeypatch):
    monkeypatch.setattr(dilated, "multiplies_patches", lambda *_: False)
    assert dilated.phases_of(geometry()) is None


def test_phases_are_every_other_row_and_column():
    x = jnp.arange(24.0).reshape(1, 3, 4, 2)
    phases = dilated.split(x, (2, 2))
    np.testing.assert_array_equal(phases[1], x[0, ::2, 1::2])
    np.testing.assert_array_equal(phases[2], jnp.pad(x[0, 1::2, ::2], ((0, 1), (0, 0), (0, 0))))


@pytest.mark.parametrize(
    "given",
    [
        geometry(strides=(2, 2)),
        geometry(image=(1, 7, 10, 4), dilation=(1, 3), strides=(1, 3), groups=2),
        geometry(dilation=(4, 2), strides=(4, 2), padding=((0, 4), (2, 4))),
    ],
)
def test_strides_of_the_dilation_meet_one_phase_alone(given):
    numbers = np.random.default_rng(0)
    x, kernel = (
        jnp.asarray(numbers.standard_normal(shape), jnp.float32)
        for shape in (given.image, given.kernel)
    )
    phase, ordinary = dilated.on_first_phase(x, given)
    assert (ordinary.strides, ordinary.dilation) == ((1, 1), (1, 1))
    assert ordinary.output == given.output

    found = plain_convolution(phase, kernel, ordinary)
    expected = plain_convolution(x, kernel, given)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", [geometry(), geometry(strides=(2, 2), padding=((1, 2), (2, 2)))])
def test_other_strides_or_pads_need_the_whole_map(given):
    x = jnp.zeros(given.image)
    assert dilated.on_first_phase(x, given) == (x, given)
