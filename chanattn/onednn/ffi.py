"""Python functions as targets of XLA's foreign function interface.

The structures are those of `xla/ffi/api/c_api.h`, which jaxlib ships (`jax.ffi.include_dir()`); XLA promises
that they stay binary compatible within major version 0.
"""

import ctypes
from collections.abc import Callable, Sequence

import jax

Pointer = ctypes.c_void_p
Execute = Callable[[Sequence[int]], None]

_METADATA, _INTERNAL = 1, 13


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("dtype", ctypes.c_int),
        ("data", Pointer),
    )


class _Buffers(ctypes.Structure):
    """XLA_FFI_Args and XLA_FFI_Rets."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("size", ctypes.c_int64),
        ("types", Pointer),
        ("buffers", ctypes.POINTER(ctypes.POINTER(_Buffer))),
    )


class _Version(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    )


class _Metadata(ctypes.Structure):
    _fields_ = (("struct_size", ctypes.c_size_t), ("version", _Version))


class _Extension(ctypes.Structure):
    """XLA_FFI_Metadata_Extension; other extensions have the first three fields."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("next", Pointer),
        ("metadata", ctypes.POINTER(_Metadata)),
    )


class _ErrorArgs(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )


class _Api(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("version", _Version),
        ("internal", Pointer),
        ("create_error", ctypes.CFUNCTYPE(Pointer, ctypes.POINTER(_ErrorArgs))),
    )


class _CallFrame(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.POINTER(_Extension)),
        ("api", ctypes.POINTER(_Api)),
        ("context", Pointer),
        ("stage", ctypes.c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
    )


_Handler = ctypes.CFUNCTYPE(Pointer, ctypes.POINTER(_CallFrame))
_registered: dict[str, object] = {}


def register(name: str, execute: Execute) -> None:
    """Makes `execute` the CPU target `name` of `jax.ffi.ffi_call`; once a process and name.

    Args:
        name: the target. A program in the persistent compilation cache finds it by this name, so equal names
            must mean equal operations in every process.
        execute: gets the addresses of the operands and then of the results. It runs in threads of XLA,
            possibly in several at once, and must not call JAX. What it raises is an error of the program.
    """
    if name in _registered:
        return

    def handler(pointer: "ctypes._Pointer[_CallFrame]") -> int | None:
        frame = pointer.contents
        try:
            if frame.extension and frame.extension.contents.type == _METADATA:
                _answer_version(frame)
            else:
                execute([*_addresses(frame.arguments), *_addresses(frame.results)])
        except Exception as error:  # an exception that left a ctypes callback would be lost
            text = f"{name}: {error}".encode()
            args = _ErrorArgs(ctypes.sizeof(_ErrorArgs), None, text, _INTERNAL)
            return frame.api.contents.create_error(ctypes.byref(args))
        return None

    callback = _Handler(handler)
    _registered[name] = callback  # XLA keeps only its address
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(callback), platform="cpu")


def _answer_version(frame: _CallFrame) -> None:
    """Tells XLA, which asks at registration, that this handler was written for its own version."""
    runtime, answer = (
        frame.api.contents.version,
        frame.extension.contents.metadata.contents.version,
    )
    answer.major, answer.minor = runtime.major, runtime.minor


def _addresses(buffers: _Buffers) -> list[int]:
    return [buffers.buffers[i].contents.data for i in range(buffers.size)]
