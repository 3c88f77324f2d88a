"""Threads: what is made for one of XLA's is made once, else it eats the memory; and how many compute."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from chanattn import onednn
from chanattn.cores import core_numbers, usable_cores
from chanattn.onednn import library, operations, primitive, team
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


def test_on_one_thread_an_operation_of_any_size_is_another_one_with_one_thread(monkeypatch):
    monkeypatch.setattr(library, "cores", lambda: 2)
    shape = (128, 32, 32, 16)
    geometry = Geometry(shape, (3, 3, 16, 16), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    x, kernel = jnp.ones(shape), jnp.ones((3, 3, 16, 16))

    def named():
        def convolve(x, kernel):
            return operations.convolution(x, kernel, None, None, geometry, False)

        (equation,) = jax.make_jaxpr(convolve)(x, kernel).eqns
        return {
            inner.params["target_name"]
            for inner in equation.params["call_jaxpr"].eqns
            if inner.primitive.name == "ffi_call"
        }

    with primitive.on_one_thread():
        assert threads_of(geometry) == 1
        alone = named()
    assert threads_of(geometry) == 2
    assert len(alone) == len(named()) == 1
    assert alone != named()


WATCHED = """
import os, threading
import numpy as np
from chanattn.onednn import convolution

def cores():
    return {int(tid): os.sched_getaffinity(int(tid)) for tid in os.listdir("/proc/self/task")}

shape = (64, 32, 32, 16)
geometry = convolution.Geometry(shape, (3, 3, 16, 16), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
operation = convolution.convolution("forward", geometry)
buffers = [np.ones(s, np.float32) for s in (shape, (3, 3, 16, 16), shape)]
every = sorted(os.sched_getaffinity(0))

def run():
    before = cores()
    for core in (every[0], every[1], every[0]):
        os.sched_setaffinity(0, {core})
        operation([each.ctypes.data for each in buffers])
        helpers = [where for tid, where in cores().items() if tid not in before]
        print(core, *sorted(c for where in helpers for c in where))

thread = threading.Thread(target=run)
thread.start()
thread.join()
print(*every)
"""


@pytest.mark.skipif(not 2 <= usable_cores() == len(core_numbers()), reason="needs two cores")
def test_the_threads_that_help_one_are_bound_to_the_other_cores_and_follow_it():
    free = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    out = subprocess.run(
        [sys.executable, "-c", WATCHED], env=free, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    *seen, every = [[int(core) for core in line.split()] for line in out]
    assert len(seen) == 3
    for core, *helpers in seen:
        assert sorted([core, *helpers]) == every


@pytest.mark.parametrize(("name", "cores"), [("OMP_PROC_BIND", 2), ("OMP_PLACES", 2), ("", 3)])
def test_threads_that_the_user_binds_or_that_are_not_all_cores_are_left_alone(
    monkeypatch, name, cores
):
    monkeypatch.setattr(library, "cores", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    for variable in ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"):
        monkeypatch.delenv(variable, raising=False)
    if name:
        monkeypatch.setenv(name, "true")
    assert team._cores.__wrapped__() == frozenset()


def test_more_threads_than_cores_are_not_used_whatever_openmp_is_told():
    told = os.environ | {"OMP_NUM_THREADS": str(16 * usable_cores())}
    asked = "from chanattn.onednn import library; print(library.cores())"
    out = subprocess.check_output([sys.executable, "-c", asked], env=told, text=True)
    assert int(out) == usable_cores()
