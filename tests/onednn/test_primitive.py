"""A prepared operation and the buffers that it is given."""

import numpy as np
import pytest

from chanattn import onednn
from chanattn.onednn import convolution
from chanattn.onednn.convolution import NOTHING, Geometry

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")


def test_an_operation_reads_and_writes_the_buffers_of_the_call_and_not_of_one_before():
    geometry = Geometry((1, 2, 2, 8), (1, 1, 8, 8), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    operation = convolution.convolution("forward", geometry, NOTHING)
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=geometry.image).astype(np.float32) for _ in range(2)]
    kernels = [rng.normal(size=geometry.kernel).astype(np.float32) for _ in range(2)]
    results = [np.empty(geometry.output, np.float32) for _ in range(2)]

    def run(x, kernel, y):
        y[:] = np.nan
        operation([each.ctypes.data for each in (x, kernel, y)])
        expected = np.einsum("nhwi,io->nhwo", x, kernel[0, 0])
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)

    run(xs[0], kernels[0], results[0])
    run(xs[0], kernels[0], results[0])
    run(xs[1], kernels[0], results[0])
    run(xs[1], kernels[0], results[1])
    run(xs[1], kernels[1], results[1])
    run(xs[0], kernels[1], results[0])
    xs[0] *= 2  # in place: the address stays
    run(xs[0], kernels[1], results[0])
