"""Errors inside a foreign call reach the caller; programs in the compilation cache find their targets."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from chanattn import onednn
from chanattn.onednn import ffi, library

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")


def test_an_exception_in_a_handler_is_an_error_of_the_program():
    def fail(addresses):
        raise ValueError(f"wrong with {len(addresses)} buffers")

    ffi.register("chanattn.test.fail", fail)
    call = jax.ffi.ffi_call("chanattn.test.fail", jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(Exception, match="chanattn.test.fail: wrong with 2 buffers"):
        jax.block_until_ready(jax.jit(call)(jnp.ones(3)))


def test_a_handler_gets_the_addresses_of_operands_and_results():
    seen = []
    ffi.register("chanattn.test.copy", seen.append)
    call = jax.ffi.ffi_call(
        "chanattn.test.copy", jax.ShapeDtypeStruct((3,), jnp.float32), has_side_effect=True
    )
    x = jnp.ones(3)
    jax.block_until_ready(jax.jit(call)(x))
    ((operand, result),) = seen
    assert operand == x.unsafe_buffer_pointer()
    assert operand != result


def test_a_failed_call_of_the_library_is_named():
    with pytest.raises(library.OneDNNError, match="invalid arguments"):
        library.check(2)


def test_absence_is_told(monkeypatch):
    library.library.cache_clear()
    monkeypatch.setattr(library, "PACKAGE", "no-such-package")
    try:
        assert not library.available()
        assert library.reason_absent() == "the package no-such-package is not installed"
    finally:
        library.library.cache_clear()


def test_a_small_operation_does_not_take_the_threads_of_later_ones():
    program = """
from chanattn.onednn import library
library.use_threads(1)
print(library.cores())
"""
    own = os.environ | {"OMP_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"
