"""The order of an epoch is drawn on the host, with the numbers that JAX would have drawn on the device."""

import jax
import numpy as np
import pytest

from chanattn import random_streams, threefry
from chanattn.data.training_data import epoch_order


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_the_order_of_an_epoch_is_the_permutation_of_jax(seed: int) -> None:
    for epoch in (0, 7):
        key = jax.random.fold_in(random_streams.key(np.uint32(seed), "order"), epoch)
        for length in (1, 2, 1442, 5000):  # from 1,626 on it is sorted twice
            expected = np.asarray(jax.random.permutation(key, length))
            found = epoch_order(seed, epoch, length)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_bits_and_keys_are_those_of_jax() -> None:
    key, ours = jax.random.key(7, impl="threefry2x32"), threefry.key(7)
    np.testing.assert_array_equal(threefry.bits(ours, 33), jax.random.bits(key, (33,)))
    expected = jax.random.key_data(jax.random.split(key))
    np.testing.assert_array_equal(np.stack(threefry.split(ours)), expected)
