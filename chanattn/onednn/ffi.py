"""Python functions as targets of XLA's foreign function interface.

The structures are those of `xla/ffi/api/c_api.h`, which jaxlib ships (`jax.ffi.include_dir()`). They are
typed in by hand, so they are used only with the versions of the interface whose headers they were compared
with, and only where the sizes that XLA tells agree (`refusal`).
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from chanattn.onednn import gate
from chanattn.onednn.gate import ErrorArgs, Pointer

Execute = Callable[[Sequence[int]], None]

# jaxlib 0.10.2 and 0.11.0 have 0.3, 0.11.1 has 0.4, 0.12.0 has 0.5: the fields read here are the same in all.
KNOWN = ((0, 3), (0, 4), (0, 5))

_METADATA, _INTERNAL = 1, 13


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("dtype", ctypes.c_int),
        ("data", Pointer),
        ("rank", ctypes.c_int64),
        ("dims", Pointer),
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


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("size", ctypes.c_int64),
        ("types", Pointer),
        ("names", Pointer),
        ("attributes", Pointer),
    )


class _Version(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    )


class _Metadata(ctypes.Structure):
    """The beginning of XLA_FFI_Metadata."""

    _fields_ = (("struct_size", ctypes.c_size_t), ("version", _Version))


class _Extension(ctypes.Structure):
    """XLA_FFI_Metadata_Extension; other extensions have the first three fields."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("next", Pointer),
        ("metadata", ctypes.POINTER(_Metadata)),
    )


class _Api(ctypes.Structure):
    """The beginning of XLA_FFI_Api."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("version", _Version),
        ("internal", Pointer),
        ("create_error", ctypes.CFUNCTYPE(Pointer, ctypes.POINTER(ErrorArgs))),
    )


class _CallFrame(ctypes.Structure):
    """XLA_FFI_CallFrame but for its last field, which XLA does not count either."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.POINTER(_Extension)),
        ("api", ctypes.POINTER(_Api)),
        ("context", Pointer),
        ("stage", ctypes.c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    )


class UnknownInterface(RuntimeError):
    """XLA's interface is none of those that these structures belong to."""


_Handler = ctypes.CFUNCTYPE(Pointer, ctypes.POINTER(_CallFrame))
_registered: dict[str, object] = {}


def register(name: str, execute: Execute) -> None:
    """Makes `execute` the CPU target `name` of `jax.ffi.ffi_call`; once a process and name.

    Args:
        name: the target. A program in the persistent compilation cache finds it by this name, so equal names
            must mean equal operations in every process.
        execute: gets the addresses of the operands and then of the results. It runs in threads of XLA,
            possibly in several at once, and must not call JAX. What it raises is an error of the program.
            Once the process ends it is not called any more: programs in flight end with an error.

    Raises:
        UnknownInterface: XLA's is another one; nothing has been registered.
        OSError: the system gives no memory for code.
    """
    if name in _registered:
        return
    jax.devices()  # XLA looks at a target only once JAX has started
    refused: list[UnknownInterface] = []

    def handler(pointer: "ctypes._Pointer[_CallFrame]") -> int | None:
        frame = pointer.contents
        try:
            if frame.extension and frame.extension.contents.type == _METADATA:
                _introduce(frame)
            else:
                execute([*_addresses(frame.arguments), *_addresses(frame.results)])
        except UnknownInterface as error:
            refused.append(error)  # XLA refuses the handler too, which has told it no version
        except Exception as error:  # an exception that left a ctypes callback would be lost
            text = f"{name}: {error}".encode()
            args = ErrorArgs(ctypes.sizeof(ErrorArgs), None, text, _INTERNAL)
            return frame.api.contents.create_error(ctypes.byref(args))
        return None

    callback = _Handler(handler)
    address = ctypes.cast(callback, Pointer).value or 0
    entry = gate.guard(address, _CallFrame.api.offset, _Api.create_error.offset)
    target = jax.ffi.pycapsule(_Handler(entry))
    try:
        jax.ffi.register_ffi_target(name, target, platform="cpu")
    except Exception as error:
        raise (refused[0] if refused else UnknownInterface(str(error).splitlines()[0])) from error
    _registered[name] = callback  # XLA keeps only its address


@functools.cache
def refusal() -> str | None:
    """Why no handler can be registered, in one line; None if they can. JAX starts if it has not."""
    try:
        register("chanattn.onednn.probe", lambda addresses: None)
    except (UnknownInterface, OSError) as error:
        return str(error)
    return None


def _introduce(frame: _CallFrame) -> None:
    """Tells XLA, which asks at registration, what the handler was written for.

    That is the oldest version known: XLA refuses it as soon as it no longer keeps to it.

    Raises:
        UnknownInterface: the structures are not those of this module, or may not be.
    """
    _check_size(frame, exact=True)
    for buffers in (frame.arguments, frame.results, frame.attributes):
        _check_size(buffers, exact=True)
    api, extension = frame.api.contents, frame.extension.contents
    _check_size(api)
    _check_size(api.version, exact=True)
    version = (api.version.major, api.version.minor)
    if version not in KNOWN:
        known = ", ".join(f"{major}.{minor}" for major, minor in KNOWN)
        raise UnknownInterface(
            f"XLA's foreign function interface has version {version[0]}.{version[1]}; known are {known}"
        )
    _check_size(extension)
    metadata = extension.metadata.contents
    _check_size(metadata)
    _check_size(metadata.version, exact=True)
    metadata.version.major, metadata.version.minor = KNOWN[0]


def _check_size(found: Any, *, exact: bool = False) -> None:
    """Compares the size that XLA tells; structures that are not part of others may have grown."""
    expected = ctypes.sizeof(found)
    if found.struct_size < expected or (exact and found.struct_size != expected):
        name = type(found).__name__.lstrip("_")
        raise UnknownInterface(
            f"XLA's structure {name} has {found.struct_size} bytes, and {expected} were expected"
        )


def _addresses(buffers: _Buffers) -> list[int]:
    return [buffers.buffers[i].contents.data for i in range(buffers.size)]
