"""Threads: what is made for one of XLA's is made once, else it eats the memory; and how many compute."""

import jax
import jax.numpy as jnp
import pytest

from chanattn import onednn
from chanattn.onednn import library, operations, primitive
from chanattn.onednn.convolution import Geometry, threads_of

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


@pytest.mark.parametrize(
    ("image", "kernel", "groups", "threads"),
    [
        ((128, 32, 32, 16), (3, 3, 16, 16), 1, 2),
        ((8, 8, 8, 16), (3, 3, 16, 16), 1, 1),
        # CBAM's gate of the positions: one channel takes as long as sixteen do.
        ((128, 32, 32, 2), (7, 7, 2, 1), 1, 2),
        ((8, 8, 8, 2), (7, 7, 2, 1), 1, 1),
        ((8, 32, 32, 32), (3, 3, 1, 32), 32, 1),
    ],
)
def test_what_takes_long_is_computed_by_all_cores(monkeypatch, image, kernel, groups, threads):
    monkeypatch.setattr(library, "cores", lambda: 2)
    reach = kernel[0] // 2
    padding = ((reach, reach), (reach, reach))
    assert threads_of(Geometry(image, kernel, (1, 1), padding, (1, 1), groups)) == threads
