"""Interpolation against PyTorch's."""

from pathlib import Path

import jax
import numpy as np
import parity
import pytest

from chanattn.layers import bilinear, nearest

SIZES = ["5x7_to_11x13", "4x6_to_16x24", "9x7_to_4x5", "13x10_to_6x23", "1x3_to_4x9", "6x5_to_1x1"]
SIZES += ["7x7_to_7x7"]


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_the_reference(sizes: str, golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "seg_resize.npz")
    x, g = arrays[f"x_{sizes}"], arrays[f"g_{sizes}"]
    for aligned in (False, True):
        y, pull = jax.vjp(lambda x, a=aligned: bilinear(x, g.shape[1:3], align_corners=a), x)
        kind = f"ac{int(aligned)}_{sizes}"
        parity.assert_close(y, arrays[f"y_{kind}"], parity.OUTPUT, kind)
        parity.assert_close(pull(g)[0], arrays[f"dx_{kind}"], parity.GRADIENT, kind)
    np.testing.assert_array_equal(nearest(x, g.shape[1:3]), arrays[f"y_nearest_{sizes}"])
