"""The shared library: where it is, its constants, its functions.

Names and numbers are those of oneDNN's C interface, version 3:
https://uxlfoundation.github.io/oneDNN/dev_guide_c_and_cpp_apis.html
"""

import contextlib
import ctypes
import functools
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from chanattn.cores import usable_cores

PACKAGE = "onednn-cpu-gomp"
_OPENMP = "libgomp.so.1"

Pointer = ctypes.c_void_p
Dims = ctypes.c_int64 * 12

# dnnl_engine_kind_t, dnnl_stream_flags_t, dnnl_data_type_t, dnnl_format_tag_t, dnnl_alg_kind_t
CPU, IN_ORDER, FLOAT32, ANY_LAYOUT, DIRECT = 1, 1, 3, 1, 1
_USER = 1  # dnnl_scratchpad_mode_t
RELU, MAXIMUM, BINARY_ADD = 0x20, 0x1FF, 0x1FFF0
# dnnl_prop_kind_t
FORWARD_TRAINING, BACKWARD = 64, 128
# dnnl_normalization_flags_t
USE_SCALE, USE_SHIFT, FUSE_RELU = 2, 4, 8
# dnnl_query_t
QUERY_IMPLEMENTATION = 8
QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS, QUERY_WORKSPACE, QUERY_SCRATCHPAD = 131, 132, 135, 136
# Execution arguments.
SRC, DST, WEIGHTS, MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE = 1, 17, 33, 49, 50, 51, 52, 64
BIAS, SCRATCHPAD = 41, 80
ADDEND = 32768 | 2  # source 1 of the first operation that follows
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 255, 256

_STATUS = {
    1: "out of memory",
    2: "invalid arguments",
    3: "unimplemented",
    4: "last implementation reached",
    5: "runtime error",
    6: "not required",
}


class OneDNNError(RuntimeError):
    """A call of the library failed."""


def check(status: int) -> None:
    """Raises `OneDNNError` unless a call succeeded."""
    if status:
        raise OneDNNError(f"oneDNN: {_STATUS.get(status, f'status {status}')}")


def available() -> bool:
    """Whether the library can be loaded."""
    return reason_absent() is None


def reason_absent() -> str | None:
    """Why the library cannot be loaded and what helps, in one line; None if it can.

    Asking loads it, and leaves no other trace in the process.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "oneDNN is for Linux on x86-64"
    try:
        library()
    except metadata.PackageNotFoundError:
        return f"the package {PACKAGE} is not installed: pip install {PACKAGE}"
    except OSError as error:
        if _OPENMP in str(error):
            return f"oneDNN needs {_OPENMP}: apt-get install libgomp1"
        return f"oneDNN cannot be loaded: {error}"
    return None


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        PackageNotFoundError: it is not installed.
        OSError: it cannot be loaded, for instance because libgomp.so.1 is absent.
    """
    path = str(_path())
    openmp()
    loaded = ctypes.CDLL(path)
    loaded.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    loaded.dnnl_primitive_desc_query_md.restype = Pointer
    loaded.dnnl_memory_set_data_handle.argtypes = [Pointer, Pointer]
    return loaded


@functools.cache
def openmp() -> ctypes.CDLL:
    """GNU's OpenMP, of the system or else the copy that scikit-learn brings.

    Raises:
        OSError: there is neither.
    """
    with _variable("OMP_WAIT_POLICY", "passive"):
        try:
            return ctypes.CDLL(_OPENMP)
        except OSError:
            copy = None
            with contextlib.suppress(OSError):
                copy = _copy_of_openmp()
            if copy is None:
                raise
            return copy


def _copy_of_openmp() -> ctypes.CDLL | None:
    """The copy in scikit-learn's wheel, under the name that oneDNN's library asks for.

    Wheels rename the libraries that they bring (`libgomp-0123abcd.so.1.0.0`), inside the file as well, and
    the loader matches that inner name. So a copy in memory gets the old one back, which is shorter.
    """
    try:
        files = metadata.distribution("scikit-learn").files or ()
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith("libgomp-"):
            name = file.name.encode() + b"\0"
            asked = _OPENMP.encode().ljust(len(name), b"\0")
            renamed = Path(str(file.locate())).read_bytes().replace(name, asked)
            descriptor = os.memfd_create(_OPENMP)
            with os.fdopen(descriptor, "wb", buffering=0) as memory:
                memory.write(renamed)
                return ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_GLOBAL)
    return None


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable that the user has not set, for a while.

    OpenMP reads this one when it is loaded: its threads would spin between two calls, on cores that XLA's
    threads need.
    """
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@functools.cache
def cores() -> int:
    """Threads to use: one a core, or `OMP_NUM_THREADS` if these are fewer.

    More than there are cores wait for each other in turns: a step takes many times as long.
    """
    return min(openmp().omp_get_max_threads(), usable_cores())


def use_threads(number: int) -> None:
    """Sets how many threads the primitives use that this thread prepares or executes."""
    cores()  # is read before it is changed: OpenMP keeps one number for both
    openmp().omp_set_num_threads(number)


@functools.cache
def engine() -> Pointer:
    """The CPU."""
    return create("dnnl_engine_create", CPU, ctypes.c_size_t(0))


@functools.cache
def own_scratchpad() -> Pointer:
    """The attributes of a primitive whose caller brings its scratch memory."""
    return new_attributes()


def new_attributes() -> Pointer:
    """The same, to be added to.

    By default oneDNN keeps scratch memory for the thread that makes the primitive; another that executes it
    has none.
    """
    attributes = create("dnnl_primitive_attr_create")
    check(library().dnnl_primitive_attr_set_scratchpad_mode(attributes, _USER))
    return attributes


def create(function: str, *args: Any) -> Pointer:
    """The handle that a `dnnl_..._create` function makes; it is never destroyed."""
    handle = Pointer()
    check(getattr(library(), function)(ctypes.byref(handle), *args))
    return handle


def _path() -> Path:
    for file in metadata.distribution(PACKAGE).files or ():
        if file.name == "libdnnl.so.3":
            return Path(str(file.locate())).resolve()
    raise OSError(f"{PACKAGE} has no libdnnl.so.3 for this system")
