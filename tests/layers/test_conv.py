"""Convolution in groups equals the grouped convolution of XLA, values and gradients."""

import jax
import numpy as np
import pytest
from plain_convolution import plain_convolution

from chanattn.errors import UsageError
from chanattn.layers import Conv
from chanattn.onednn.convolution import Geometry


@pytest.mark.parametrize(
    ("groups", "stride", "dilation"), [(2, 1, 1), (4, 2, 1), (4, 1, 2), (16, 1, 1)]
)
def test_groups_equal_those_of_xla(groups: int, stride: int, dilation: int) -> None:
    module = Conv(32, stride=stride, dilation=dilation, groups=groups)
    x = jax.random.normal(jax.random.key(0), (2, 9, 7, 16))
    params = module.init(jax.random.key(1), x)

    def grouped(params: dict, x: jax.Array) -> jax.Array:
        kernel, far = params["params"]["kernel"], (dilation, dilation)
        of = Geometry(x.shape, kernel.shape, (stride, stride), (far, far), far, groups)
        return plain_convolution(x, kernel, of)

    y, pull = jax.vjp(module.apply, params, x)
    expected, expected_pull = jax.vjp(grouped, params, x)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(y, expected, **close)
    g = jax.random.normal(jax.random.key(2), y.shape)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **close), pull(g), expected_pull(g))


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="from 16 to 32 channels cannot have 5 groups"):
        Conv(32, groups=5).init(
            jax.random.key(0), jax.random.normal(jax.random.key(1), (1, 4, 4, 16))
        )
