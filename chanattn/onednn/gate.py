"""The way from XLA's threads into Python, which is closed before the interpreter ends.

A thread that asks for the interpreter while it is being finalised never returns, and the end of the process
waits for XLA's threads. XLA therefore gets the address of a few instructions in front of each handler. They
count the threads that are inside; once the gate is closed they answer with an error of XLA's, without Python,
so that whatever is in flight ends by itself. This works on x86-64 alone, as does oneDNN's package.
"""

import atexit
import contextlib
import ctypes
import functools
import mmap
import os
import platform
import struct
import threading
import time

import jax

Pointer = ctypes.c_void_p

_PAGE = mmap.PAGESIZE
_CANCELLED = 1  # XLA_FFI_Error_Code

# System V calling convention: rdi holds the call frame, rax the result. The fields in braces are filled in.
_ENTRY = (
    "48 b8 {state}"  # mov rax, state
    "f0 48 ff 00"  # lock inc [rax]: one more is inside
    "48 83 78 08 00"  # cmp [rax + 8], 0: closed?
    "75 23"  # jne refuse
    "48 83 ec 08"  # sub rsp, 8: calls want the stack aligned
    "48 b8 {handler}"  # mov rax, handler
    "ff d0"  # call rax
    "48 83 c4 08"  # add rsp, 8
    "48 b9 {state}"  # mov rcx, state
    "f0 48 ff 09"  # lock dec [rcx]
    "c3"  # ret
    # refuse:
    "f0 48 ff 08"  # lock dec [rax]
    "48 8b 47 {api}"  # mov rax, [rdi + api]: frame->api
    "48 bf {error}"  # mov rdi, error
    "ff 60 {create}"  # jmp [rax + create]: api->XLA_FFI_Error_Create(error)
)


class ErrorArgs(ctypes.Structure):
    """XLA_FFI_Error_Create_Args."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension_start", Pointer),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )


class _State(ctypes.Structure):
    _fields_ = (
        ("inside", ctypes.c_int64),
        ("closed", ctypes.c_int64),
        ("error", ErrorArgs),
        ("message", ctypes.c_char * 64),
    )


def guard(handler: int, api: int, create_error: int) -> int:
    """The address of a handler that calls another as long as the gate is open.

    Args:
        handler: address of an `XLA_FFI_Handler` that needs Python.
        api: offset of the API in a call frame.
        create_error: offset of `XLA_FFI_Error_Create` in the API.

    Raises:
        OSError: the system gives no memory for code, or the processor is another one.
    """
    if platform.machine() != "x86_64":
        raise OSError("oneDNN is for x86-64")
    state = _state()
    start = ctypes.addressof(state)
    fields = {
        "state": start.to_bytes(8, "little"),
        "handler": handler.to_bytes(8, "little"),
        "error": (start + _State.error.offset).to_bytes(8, "little"),
        "api": struct.pack("b", api),
        "create": struct.pack("b", create_error),
    }
    code = bytes.fromhex(_ENTRY.format(**{name: value.hex() for name, value in fields.items()}))
    page = _new_page()
    ctypes.memmove(page, code, len(code))
    if _libc().mprotect(page, _PAGE, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "no memory for code")
    return page


def close() -> None:
    """From now on whoever comes is refused; returns when nobody is inside.

    What has effects, `jax.debug.print` for instance, ends before: JAX waits for it at the end as well.
    """
    with contextlib.suppress(Exception):
        jax.effects_barrier()
    state = _state()
    state.closed = 1
    while state.inside:
        time.sleep(0.001)


@functools.cache
def _state() -> _State:
    """What all gates share; it is closed at the end of this process, before JAX takes its own leave."""
    state = _State.from_address(_new_page())
    state.message = b"the process is ending"
    text = ctypes.addressof(state) + _State.message.offset
    state.error = ErrorArgs(ctypes.sizeof(ErrorArgs), None, ctypes.c_char_p(text), _CANCELLED)
    process = (
        os.getpid()
    )  # a child by fork has none of XLA's threads, some of which may be inside now
    atexit.register(lambda: close() if os.getpid() == process else None)
    return state


def keep_state() -> None:
    """Has Python keep what it knows of this thread, if it is one of XLA's, until the process ends.

    For a thread that it has not started, Python makes a state at each call and drops it at the end, which
    takes 15 us (benchmarks/NOTES.md). It drops none that was asked for more often than given back.
    """
    if threading.get_ident() not in {thread.ident for thread in threading.enumerate()}:
        ctypes.pythonapi.PyGILState_Ensure()


def _new_page() -> int:
    """Memory that is never given back: XLA's threads may outlive every object of Python's."""
    page = _libc().mmap(
        None, _PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    if page == Pointer(-1).value:
        raise OSError(ctypes.get_errno(), "no memory")
    return page


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = Pointer
    libc.mmap.argtypes = [Pointer, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    libc.mprotect.argtypes = [Pointer, ctypes.c_size_t, ctypes.c_int]
    return libc
