"""What is made for a thread of XLA is made once: made at every call, it would eat the memory."""

import jax
import jax.numpy as jnp
import pytest

from chanattn import onednn
from chanattn.onednn import operations, primitive
from chanattn.onednn.convolution import Geometry

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")

CALLS = 40


def test_a_program_run_many_times_makes_no_more_of_oneDNNs_objects(monkeypatch):
    made = []
    create = primitive.create
    monkeypatch.setattr(primitive, "create", lambda name, *a: made.append(name) or create(name, *a))
    shape = (32, 32, 32, 16)
    geometry = Geometry(shape, (3, 3, 16, 16), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)

    @jax.jit
    def step(x, kernel):
        def loss(kernel):
            y = x
            for _ in range(4):
                y = operations.convolution(y, kernel, None, None, geometry, True)
            return y.mean()

        return jax.grad(loss)(kernel)

    x, kernel = jnp.ones(shape), jnp.full((3, 3, 16, 16), 1e-2)
    counts = []
    for _ in range(CALLS):
        jax.block_until_ready(step(x, kernel))
        counts.append(len(made))
    # Another thread may take its first turn late; every call made more than twelve objects an operation.
    assert counts[-1] - counts[CALLS // 2] < 5 * CALLS // 2
