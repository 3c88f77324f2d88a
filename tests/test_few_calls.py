"""Programs that are called a few times only."""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from chanattn.few_calls import jit_for_few_calls


def test_the_flags_are_known_to_xla_and_change_no_bit():
    """Should XLA rename one, no training on a CPU would start."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])

    def draw(seed):
        return jax.random.normal(jax.random.key(seed), (3, 3, 16)) * 0.1

    quick = jit_for_few_calls(draw, NamedSharding(mesh, PartitionSpec()))
    np.testing.assert_array_equal(quick(np.uint32(7)), jax.jit(draw)(np.uint32(7)))
