"""Groups of few channels, several in one kernel with zeros, equal JAX's own grouped convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_convolution import plain_convolution

from chanattn import onednn
from chanattn.onednn import grouped, operations
from chanattn.onednn.convolution import Geometry

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN is absent")


def geometry(groups, inputs, outputs, strides=(1, 1), dilation=(1, 1)):
    image, kernel = (2, 7, 6, groups * inputs), (3, 3, inputs, groups * outputs)
    return Geometry(image, kernel, strides, (dilation, dilation), dilation, groups)


@pytest.fixture
def code_from_eight_channels_on(monkeypatch):
    """As on a processor for which oneDNN has no code for groups of fewer channels."""
    monkeypatch.setattr(grouped, "multiplies_patches", lambda _, given: given.kernel[2] < 8)


@pytest.mark.usefixtures("code_from_eight_channels_on")
@pytest.mark.parametrize(
    ("given", "groups"),
    [
        (geometry(4, 4, 4), 2),
        (geometry(6, 4, 3), 3),
        (geometry(6, 3, 3, strides=(2, 2)), 2),
        (geometry(16, 1, 2), 2),
        (geometry(4, 2, 5, dilation=(2, 2)), 1),
    ],
)
def test_value_and_gradients_equal_those_of_the_plain_convolution(given, groups):
    numbers = np.random.default_rng(0)
    x, kernel, dy, bias = (
        jnp.asarray(numbers.standard_normal(shape), jnp.float32)
        for shape in (given.image, given.kernel, given.output, given.kernel[3:])
    )

    def ours(x, kernel):
        return operations.convolution(x, kernel, None, None, given, False)

    @jax.jit
    def packed(x, kernel):
        kept = operations.pack(kernel, given)
        return operations.convolution_of_packed(x, kept, bias, None, given, True)

    assert grouped.merged("forward", given).groups == groups
    expected, theirs = jax.vjp(lambda x, kernel: plain_convolution(x, kernel, given), x, kernel)
    found, pull = jax.vjp(jax.jit(ours), x, kernel)
    near = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(found, expected, **near)
    for gradient, other in zip(pull(dy), theirs(dy), strict=True):
        np.testing.assert_allclose(gradient, other, **near)
    np.testing.assert_allclose(packed(x, kernel), jax.nn.relu(expected + bias), **near)


@pytest.mark.usefixtures("code_from_eight_channels_on")
@pytest.mark.parametrize(
    "given",
    [geometry(1, 4, 4), geometry(2, 8, 8), geometry(3, 2, 4), geometry(2, 3, 3)],
)
def test_what_has_code_or_could_not_have_it_stays_as_it_is(given):
    """One group, groups that are wide enough, and those that all together are not."""
    assert grouped.merged("forward", given) == given


def test_other_groups_see_zeros():
    before, after = geometry(4, 1, 2), geometry(2, 2, 4)
    kernel = jnp.arange(1.0, 73).reshape(before.kernel)
    wide = grouped.widen(kernel, before, after)
    np.testing.assert_array_equal(wide[:, :, 0, 2:4], 0)
    np.testing.assert_array_equal(wide[:, :, 0, 4:6], kernel[:, :, 0, 4:6])
    np.testing.assert_array_equal(wide[:, :, 1, 6:], kernel[:, :, 0, 6:])
    np.testing.assert_array_equal(grouped.narrow(wide, before, after), kernel)
