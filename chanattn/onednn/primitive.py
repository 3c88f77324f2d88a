"""A oneDNN primitive prepared for given shapes, which runs on buffers given by address.

oneDNN counts the axes (N, C, H, W) and (O, I, kh, kw) whatever their order in memory, which strides tell.
Features are NHWC in memory. Kernels are HWIO for JAX, but the fast code of oneDNN wants a blocked layout:
they are copied there first, or back afterwards (`Packing`), which costs little because kernels are small.
"""

import contextlib
import ctypes
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chanattn.onednn import gate
from chanattn.onednn import library as dnnl
from chanattn.onednn.library import Dims, Pointer, check, create, engine, library
from chanattn.onednn.team import Team


@dataclass(frozen=True)
class Packing:
    """The kernel in oneDNN's own layout.

    Attributes:
        argument: Which buffer it stands for.
        packed: Layout that the primitive wants.
        unpack: Whether it is a result, copied back, or an operand, copied there.
        size: Values of the kernel.
    """

    argument: int
    packed: Pointer
    unpack: bool
    size: int


# Below, waking a second thread takes longer than it saves, and much longer on a machine that is busy.
_LEAST_WORK = 1 << 24
MEMORY_BOUND = 64
"""Norms and pools wait for memory: a value costs as much as that many multiplications."""

_ALIGNMENT = 64  # bytes: a line of the cache


_one_thread = False


@contextlib.contextmanager
def on_one_thread() -> Iterator[None]:
    """What is prepared meanwhile runs on one thread, whatever its size: the other cores have their own."""
    global _one_thread  # noqa: PLW0603
    before, _one_thread = _one_thread, True
    try:
        yield
    finally:
        _one_thread = before


def is_on_one_thread() -> bool:
    """Whether `on_one_thread` holds."""
    return _one_thread


def threads_for(multiplications: int) -> int:
    """Threads for an operation of that size."""
    return 1 if _one_thread or multiplications < _LEAST_WORK else dnnl.cores()


class _Argument(ctypes.Structure):
    _fields_ = (("id", ctypes.c_int), ("memory", Pointer))


class Operation:
    """A primitive that runs on buffers given by address, in any thread.

    Args:
        description: of the primitive.
        arguments: (execution argument, memory descriptor) of the operands and results in order.
        threads: that it was prepared for.
        packing: of the argument that is a kernel.
    """

    def __init__(
        self,
        description: Pointer,
        arguments: Sequence[tuple[int, Pointer]],
        threads: int,
        packing: Packing | None = None,
    ) -> None:
        self._layouts = [layout for _, layout in arguments]
        self._calls: list[tuple[Pointer, int, list[tuple[int, int]]]] = []
        places = list(range(len(arguments)))
        if packing is not None:
            plain, packed = packing.argument, len(arguments)
            self._layouts.append(packing.packed)
            places[plain] = packed
        ids = [number for number, _ in arguments]
        self._add(description, threads, list(zip(ids, places, strict=True)))
        if packing is not None:
            there = (packed, plain) if packing.unpack else (plain, packed)
            a, b = (self._layouts[place] for place in there)
            threads = threads_for(MEMORY_BOUND * packing.size)
            dnnl.use_threads(threads)
            copy = create(
                "dnnl_reorder_primitive_desc_create",
                a, engine(), b, engine(), dnnl.own_scratchpad(),
            )  # fmt: skip
            self._add(copy, threads, [(dnnl.SRC, there[0]), (dnnl.DST, there[1])])
            if not packing.unpack:
                self._calls.reverse()
        # Packed kernel and scratch memory lie one after another in a buffer of the thread.
        self._offsets: list[int] = []
        self._size = 0
        for layout in self._layouts[len(arguments) :]:
            self._offsets.append(self._size)
            size = library().dnnl_memory_desc_get_size(layout)
            self._size += -(-size // _ALIGNMENT) * _ALIGNMENT

    def __call__(self, addresses: Sequence[int]) -> None:
        """Executes on the buffers at `addresses`; returns when done."""
        thread = getattr(_here, "thread", None) or _enter()
        prepared = thread.prepared.get(self) or thread.prepared.setdefault(self, self._prepare())
        start = thread.scratch(self._size)
        places = [*addresses, *[start + offset for offset in self._offsets]]
        # Many lie where they lay in the call before, and each call of the library takes a while.
        before = prepared.places
        for place, (memory, address) in enumerate(zip(prepared.memories, places, strict=True)):
            if address != before[place]:
                library().dnnl_memory_set_data_handle(memory, address)
                before[place] = address
        execute, stream = library().dnnl_primitive_execute, thread.stream
        for primitive, threads, number_of_arguments, arguments in prepared.calls:
            dnnl.use_threads(threads)
            if threads > 1:
                thread.team.spread()
            check(execute(primitive, stream, number_of_arguments, arguments))

    def _add(self, description: Pointer, threads: int, arguments: list[tuple[int, int]]) -> None:
        """Adds a primitive that reads and writes the buffers at those places, and its scratch memory."""
        scratch = query(description, dnnl.QUERY_SCRATCHPAD)
        if library().dnnl_memory_desc_get_size(scratch):
            arguments = [*arguments, (dnnl.SCRATCHPAD, len(self._layouts))]
            self._layouts.append(scratch)
        self._calls.append((create("dnnl_primitive_create", description), threads, arguments))

    def _prepare(self) -> "_Prepared":
        """Makes the memory objects of a thread, and the arguments that refer to them."""
        memories = [create("dnnl_memory_create", md, engine(), None) for md in self._layouts]
        calls = [
            (
                primitive,
                threads,
                len(pairs),
                (_Argument * len(pairs))(*[_Argument(i, memories[k]) for i, k in pairs]),
            )
            for primitive, threads, pairs in self._calls
        ]
        return _Prepared(memories, calls, [0] * len(memories))


class _Prepared(NamedTuple):
    """An operation made ready for one thread.

    Attributes:
        memories: oneDNN's objects of the buffers.
        calls: Each primitive, its threads, the number of its arguments and these, which refer to `memories`.
        places: The addresses that `memories` have, 0 before the first call.
    """

    memories: list[Pointer]
    calls: list[tuple[Pointer, int, int, "ctypes.Array[_Argument]"]]
    places: list[int]


class _Thread:
    """What belongs to a thread: a stream, which must not be shared, scratch memory, prepared operations.

    Attributes:
        team: Those that help it.
    """

    def __init__(self) -> None:
        self.team = Team()
        self.prepared: dict[Operation, _Prepared] = {}
        self.stream = create("dnnl_stream_create", engine(), dnnl.IN_ORDER)
        self._buffer = np.empty(0, np.uint8)
        self._start = 0

    def scratch(self, size: int) -> int:
        """Address of so many bytes, which the next call may use again."""
        if self._buffer.size < size + _ALIGNMENT:
            self._buffer = np.empty(size + _ALIGNMENT, np.uint8)
            start = self._buffer.ctypes.data
            self._start = start + -start % _ALIGNMENT
        return self._start


_here = threading.local()


def _enter() -> _Thread:
    """Makes ready the thread that calls, once: one of XLA's would forget it after each call."""
    gate.keep_state()
    _here.thread = _Thread()
    return _here.thread


def query(description: Pointer, what: int) -> Pointer:
    """A memory descriptor that a primitive descriptor holds."""
    return Pointer(library().dnnl_primitive_desc_query_md(description, what, 0))


def implementation(description: Pointer) -> str:
    """The name of the code that oneDNN has chosen for a primitive, such as "jit:avx2"."""
    name = ctypes.c_char_p()
    what, where = dnnl.QUERY_IMPLEMENTATION, ctypes.byref(name)
    check(library().dnnl_primitive_desc_query(description, what, 0, where))
    return (name.value or b"").decode()


def nhwc(shape: tuple[int, ...]) -> Pointer:
    """The descriptor of a map (N, H, W, C)."""
    n, h, w, c = shape
    return strided((n, c, h, w), (h * w * c, 1, w * c, c))


def strided(dims: tuple[int, ...], strides: tuple[int, ...]) -> Pointer:
    """The descriptor of an array whose axes, in oneDNN's order, lie that many values apart."""
    return create(
        "dnnl_memory_desc_create_with_strides",
        len(dims), Dims(*dims), dnnl.FLOAT32, Dims(*strides),
    )  # fmt: skip
