"""A process that ends while oneDNN computes ends at once, with its own exit code."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from chanattn import onednn

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")

ROOT = Path(__file__).resolve().parents[2]

# Steps of a tenth of a second are under way, some of them one behind another, when the last line is reached.
PROGRAM = """
import sys, threading, time
import jax, jax.numpy as jnp
from chanattn.onednn import operations
from chanattn.onednn.convolution import Geometry

shape = (16, 32, 32, 16)
geometry = Geometry(shape, (3, 3, 16, 16), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)

@jax.jit
def step(x, kernel):
    for _ in range(30):
        x = operations.convolution(x, kernel, None, None, geometry, True)
    return x

x, kernel = jnp.ones(shape), jnp.ones((3, 3, 16, 16))
step(x, kernel).block_until_ready()

def dispatch():
    for _ in range(5):
        step(x, kernel)
    y = x
    for _ in range(5):
        y = step(y, kernel)
    return y

def fail():
    dispatch()
    raise ValueError("an error in a thread")

def for_ever():
    while True:
        step(x, kernel)
"""

WAYS = {
    "the end": ("y = dispatch()", 0, ""),
    "an exception": ("y = dispatch(); raise ValueError('an error')", 1, "an error"),
    "an exit, and nobody holds the results": ("dispatch(); sys.exit(3)", 3, ""),
    "a thread that failed": (
        "t = threading.Thread(target=fail); t.start(); t.join()",
        0,
        "an error in a thread",
    ),
    "a thread that goes on": (
        "threading.Thread(target=for_ever, daemon=True).start(); time.sleep(0.3)",
        0,
        "",
    ),
    "an effect": (
        "jax.jit(lambda x: jax.debug.callback(lambda y: print(y, flush=True), step(x, kernel).sum()))(x)",
        0,
        "",
    ),
}
PATIENCE = 100


def test_every_way_out_ends_while_steps_are_in_flight():
    started = {
        way: subprocess.Popen(
            [sys.executable, "-c", PROGRAM + last],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for way, (last, _, _) in WAYS.items()
    }
    deadline = time.monotonic() + PATIENCE
    printed = {}
    try:
        for way, process in started.items():
            _, code, told = WAYS[way]
            out, err = process.communicate(timeout=max(1, deadline - time.monotonic()))
            printed[way] = out
            assert process.returncode == code, (way, err)
            assert told in err, way
    finally:
        for process in started.values():
            process.kill()
            process.communicate()
    assert float(printed["an effect"]) > 0
