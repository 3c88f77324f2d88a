"""The smoothing pool, against its definition in numpy."""

import numpy as np
import pytest

from chanattn.layers import blur_pool


@pytest.mark.parametrize("size", [(6, 4), (5, 7), (2, 1)])
def test_blur_pool_is_a_strided_convolution_with_mirrored_borders(size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = sum(
        taps[i, j] * padded[:, i : i + size[0], j : j + size[1]] for i in range(3) for j in range(3)
    )
    np.testing.assert_allclose(blur_pool(x), expected[:, ::2, ::2], rtol=1e-5, atol=1e-6)
