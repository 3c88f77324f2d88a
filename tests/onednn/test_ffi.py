"""Foreign calls: errors reach the caller; they are made where all that they need is there and known."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from chanattn import onednn
from chanattn.cores import usable_cores
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.onednn import ffi, gate, library
from chanattn.training import mesh as meshes

ROOT = Path(__file__).resolve().parents[2]

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
        told = "the package no-such-package is not installed: pip install no-such-package"
        assert library.reason_absent() == told
    finally:
        library.library.cache_clear()


# The structures, and those of their fields that have another name in XLA's header.
STRUCTURES = {
    "CallFrame": (ffi._CallFrame, {"extension": "extension_start", "context": "ctx"}),
    "Args": (ffi._Buffers, {"buffers": "args"}),
    "Rets": (ffi._Buffers, {"buffers": "rets"}),
    "Attrs": (ffi._Attributes, {}),
    "Buffer": (ffi._Buffer, {}),
    "Api": (ffi._Api, {"create_error": "XLA_FFI_Error_Create"}),
    "Api_Version": (ffi._Version, {}),
    "Metadata": (ffi._Metadata, {}),
    "Metadata_Extension": (ffi._Extension, {}),
    "Error_Create_Args": (gate.ErrorArgs, {"code": "errc"}),
}
IN_GENERAL = {
    "arguments": "args",
    "results": "rets",
    "attributes": "attrs",
    "version": "api_version",
    "internal": "internal_api",
    "major": "major_version",
    "minor": "minor_version",
}
WHOLE = ("CallFrame", "Args", "Rets", "Attrs", "Buffer", "Api_Version")


def test_the_structures_are_those_of_the_header(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    expressions, ours = [], []
    for name, (structure, names) in STRUCTURES.items():
        for field, *_ in structure._fields_:
            theirs = names.get(field) or IN_GENERAL.get(field, field)
            if name == "Metadata_Extension" and field != "metadata":
                theirs = f"extension_base.{theirs}"
            expressions.append(f"(int)offsetof(struct XLA_FFI_{name}, {theirs})")
            ours.append(getattr(structure, field).offset)
    expressions += [f"(int)XLA_FFI_{name}_STRUCT_SIZE" for name in WHOLE]
    ours += [ctypes.sizeof(STRUCTURES[name][0]) for name in WHOLE]
    headers = ("stddef.h", "stdint.h", "stdio.h", "xla/ffi/api/c_api.h")
    lines = [f"#include <{header}>" for header in headers]
    lines += ["int main() {", *(f'printf("%d ", {e});' for e in expressions), "}"]
    source, program = tmp_path / "offsets.c", tmp_path / "offsets"
    source.write_text("\n".join(lines))
    include = f"-I{jax.ffi.include_dir()}"
    subprocess.run([compiler, "-w", include, str(source), "-o", str(program)], check=True)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert [int(number) for number in printed.split()] == ours


@pytest.fixture
def unregistered(monkeypatch):
    """As in a process that has not called oneDNN yet."""
    monkeypatch.setattr(ffi, "_registered", {})
    ffi.refusal.cache_clear()
    yield
    ffi.refusal.cache_clear()


@pytest.fixture(params=["version", "size"])
def another_xla(request, monkeypatch, unregistered):
    """An XLA whose interface is not the one that the structures were typed in from; what is told of it."""
    if request.param == "version":
        monkeypatch.setattr(ffi, "KNOWN", ((0, 98), (0, 99)))
        return r"XLA's foreign function interface has version 0\.\d+; known are 0\.98, 0\.99"
    shorter = [field for field in ffi._CallFrame._fields_ if field[0] != "attributes"]

    class CallFrame(ctypes.Structure):
        _fields_ = (*shorter,)

    monkeypatch.setattr(ffi, "_CallFrame", CallFrame)
    handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(CallFrame))
    monkeypatch.setattr(ffi, "_Handler", handler)
    return "XLA's structure CallFrame has 168 bytes, and 120 were expected"


def test_another_interface_of_xla_is_never_called_and_the_head_of_a_run_says_so(another_xla):
    assert re.fullmatch(another_xla, ffi.refusal())
    with pytest.raises(ffi.UnknownInterface, match=another_xla):
        ffi.register("chanattn.test.refused", print)
    assert ffi._registered == {}
    with kernels.chosen("auto"):
        assert kernels.current() == "xla"
        mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
        assert re.search(rf"convolutions: xla \({another_xla}\)$", meshes.describe(mesh)[1])
    with kernels.chosen("onednn"), pytest.raises(UsageError, match=another_xla):
        kernels.current()


def test_a_part_of_a_structure_may_not_have_grown_and_a_whole_one_may():
    version = ffi._Version(struct_size=ctypes.sizeof(ffi._Version) + 8)
    ffi._check_size(version)
    with pytest.raises(ffi.UnknownInterface, match="Version has 32 bytes, and 24 were expected"):
        ffi._check_size(version, exact=True)
    with pytest.raises(ffi.UnknownInterface, match="Buffer has 8 bytes, and 48 were expected"):
        ffi._check_size(ffi._Buffer(struct_size=8))


def test_asking_for_the_kernels_changes_no_environment_variable():
    program = """
import os
before = dict(os.environ)
from chanattn.layers import kernels
kernels.choose("auto")
assert kernels.current() == "onednn", kernels.lacking()
assert dict(os.environ) == before
"""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    subprocess.run([sys.executable, "-c", program], env=own, cwd=ROOT, check=True)


# Where libgomp.so.1 cannot be opened: a file system of its own, seen by one process alone.
HIDE = r"""
set -e
system=$(/sbin/ldconfig -p | awk '/libgomp\.so\.1 .*x86-64/ {print $NF; exit}')
if [ -n "$system" ]; then mount --bind /dev/null "$(readlink -f "$system")"; fi
exec "$@"
"""


def without_openmp(program):
    unshare = ["unshare", "--mount", "--propagation=private", "bash", "-c", HIDE, "-"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("no file system of one's own")
    command = [*unshare, sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_openmp_of_scikit_learn_serves_where_the_system_has_none():
    program = """
import numpy as np
from chanattn import onednn
from chanattn.onednn import convolution, library
assert onednn.available(), onednn.reason_absent()
geometry = convolution.Geometry((2, 5, 5, 8), (1, 1, 8, 8), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
x, kernel, y = np.random.rand(2, 5, 5, 8), np.random.rand(1, 1, 8, 8), np.zeros((2, 5, 5, 8))
buffers = [np.ascontiguousarray(a, np.float32) for a in (x, kernel, y)]
convolution.convolution("forward", geometry)([a.ctypes.data for a in buffers])
np.testing.assert_allclose(buffers[2], x @ kernel[0, 0], rtol=1e-5)
print(library.cores())
"""
    assert int(without_openmp(program)) >= 1


def test_an_absent_openmp_is_told_with_its_remedy():
    program = """
from importlib import metadata
from chanattn.onednn import library
library._copy_of_openmp = lambda: None
from chanattn.layers import kernels
kernels.choose("auto")
assert kernels.current() == "xla"
print(kernels.lacking())
"""
    assert without_openmp(program) == "oneDNN needs libgomp.so.1: apt-get install libgomp1"


def test_a_small_operation_does_not_take_the_threads_of_later_ones():
    program = """
from chanattn.onednn import library
library.use_threads(1)
print(library.cores())
"""
    own = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == min(2, usable_cores())
