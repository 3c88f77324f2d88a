"""Programs that are called a few times only."""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from chanattn.few_calls import is_known, jit_for_few_calls


def test_what_xla_knows_is_told_from_what_it_does_not():
    """Should XLA rename all of them, or the words of its refusal, this fails."""
    assert is_known("xla_backend_optimization_level", "0")
    assert not is_known("xla_no_such_option", "0")


def test_the_options_change_no_more_than_the_last_bits():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])

    def draw(seed):
        return jax.random.normal(jax.random.key(seed), (3, 3, 16)) * 0.1

    quick = jit_for_few_calls(draw, NamedSharding(mesh, PartitionSpec()))
    found, expected = quick(np.uint32(7)), jax.jit(draw)(np.uint32(7))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
