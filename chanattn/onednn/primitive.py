"""oneDNN's primitives for given shapes: convolution in three directions, batch norm in two.

oneDNN counts the axes (N, C, H, W) and (O, I, kh, kw) whatever their order in memory, which strides tell.
Features are NHWC in memory. Kernels are HWIO for JAX, but the fast code of oneDNN wants a blocked layout:
they are copied there first, or back afterwards (`Packing`), which costs little because kernels are small.
"""

import ctypes
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chanattn.onednn import library as dnnl
from chanattn.onednn.library import Dims, Pointer, check, create, engine, library


@dataclass(frozen=True)
class Geometry:
    """A convolution: (n, height, width, inputs) with (kh, kw, inputs / groups, outputs), in pixels.

    Attributes:
        image: Shape of x.
        kernel: Shape of the kernel.
        strides: Vertical, horizontal.
        padding: (before, after) of each direction.
        dilation: Distance between the taps.
        groups: Channel groups.
    """

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the result."""
        sizes = (
            (size + sum(pad) - dilation * (taps - 1) - 1) // stride + 1
            for size, taps, stride, pad, dilation in zip(
                self.image[1:3],
                self.kernel[:2],
                self.strides,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        height, width = sizes
        return self.image[0], height, width, self.kernel[3]


@dataclass(frozen=True)
class Packing:
    """The kernel in oneDNN's own layout.

    Attributes:
        argument: Which buffer it stands for.
        packed: Layout that the primitive wants.
        unpack: Whether it is a result, copied back, or an operand, copied there.
    """

    argument: int
    packed: Pointer
    unpack: bool


# Below, waking a second thread takes longer than it saves, and much longer on a machine that is busy.
_LEAST_WORK = 1 << 24
_PASSES = 64  # a batch norm waits for memory: a value costs as much as that many multiplications


_ALIGNMENT = 64  # bytes: a line of the cache


def _threads(multiplications: int) -> int:
    """Threads for an operation of that size."""
    return 1 if multiplications < _LEAST_WORK else dnnl.cores()


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
        self._threads = threads
        self._layouts = [layout for _, layout in arguments]
        self._calls: list[tuple[Pointer, list[tuple[int, int]]]] = []
        self._local = threading.local()
        places = list(range(len(arguments)))
        if packing is not None:
            plain, packed = packing.argument, len(arguments)
            self._layouts.append(packing.packed)
            places[plain] = packed
        ids = [number for number, _ in arguments]
        self._add(description, list(zip(ids, places, strict=True)))
        if packing is not None:
            there = (packed, plain) if packing.unpack else (plain, packed)
            a, b = (self._layouts[place] for place in there)
            copy = create(
                "dnnl_reorder_primitive_desc_create",
                a, engine(), b, engine(), dnnl.own_scratchpad(),
            )  # fmt: skip
            self._add(copy, [(dnnl.SRC, there[0]), (dnnl.DST, there[1])])
            if not packing.unpack:
                self._calls.reverse()
        # Packed kernel and scratch memory lie one after another in a buffer of the thread.
        self._offsets = [0]
        for layout in self._layouts[len(arguments) :]:
            size = library().dnnl_memory_desc_get_size(layout)
            self._offsets.append(self._offsets[-1] + -(-size // _ALIGNMENT) * _ALIGNMENT)

    def __call__(self, addresses: Sequence[int]) -> None:
        """Executes on the buffers at `addresses`; returns when done."""
        if not hasattr(self._local, "memories"):
            self._prepare()
        dnn, stream = library(), _thread.stream()
        dnnl.use_threads(self._threads)
        *offsets, size = self._offsets
        scratch = _thread.scratch(size)
        places = [*addresses, *(scratch + offset for offset in offsets)]
        for memory, address in zip(self._local.memories, places, strict=True):
            dnn.dnnl_memory_set_data_handle(memory, address)
        for primitive, arguments in self._local.calls:
            check(dnn.dnnl_primitive_execute(primitive, stream, len(arguments), arguments))

    def _add(self, description: Pointer, arguments: list[tuple[int, int]]) -> None:
        """Adds a primitive that reads and writes the buffers at those places, and its scratch memory."""
        scratch = _query(description, dnnl.QUERY_SCRATCHPAD)
        if library().dnnl_memory_desc_get_size(scratch):
            arguments = [*arguments, (dnnl.SCRATCHPAD, len(self._layouts))]
            self._layouts.append(scratch)
        self._calls.append((create("dnnl_primitive_create", description), arguments))

    def _prepare(self) -> None:
        """Makes the memory objects of this thread, and the arguments that refer to them."""
        memories = [create("dnnl_memory_create", md, engine(), None) for md in self._layouts]
        self._local.memories = memories
        self._local.calls = [
            (primitive, (_Argument * len(pairs))(*[_Argument(i, memories[k]) for i, k in pairs]))
            for primitive, pairs in self._calls
        ]


def convolution(direction: str, geometry: Geometry) -> Operation:
    """A convolution or one of its gradients.

    Args:
        direction: "forward": buffers x, kernel, y. "input": dy, kernel, dx. "kernel": x, dy, dkernel.
        geometry: shapes and windows.
    """
    threads = _threads(math.prod(geometry.output) * math.prod(geometry.kernel[:3]))
    dnnl.use_threads(threads)
    image, output = _nhwc(geometry.image), _nhwc(geometry.output)
    plain, free = _kernel(geometry)
    window = (
        Dims(*geometry.strides),
        Dims(*(d - 1 for d in geometry.dilation)),
        Dims(*(before for before, _ in geometry.padding)),
        Dims(*(after for _, after in geometry.padding)),
    )
    common = (engine(), dnnl.DIRECT)
    forward = create(
        "dnnl_convolution_forward_primitive_desc_create",
        engine(), dnnl.FORWARD_TRAINING, dnnl.DIRECT, image, free, None, output,
        *window, dnnl.own_scratchpad(),
    )  # fmt: skip
    if direction == "forward":
        arguments = [(dnnl.SRC, image), (dnnl.WEIGHTS, plain), (dnnl.DST, output)]
        description, query, which = forward, dnnl.QUERY_WEIGHTS, 1
    elif direction == "input":
        description = create(
            "dnnl_convolution_backward_data_primitive_desc_create",
            *common, image, free, output, *window, forward, dnnl.own_scratchpad(),
        )  # fmt: skip
        arguments = [(dnnl.DIFF_DST, output), (dnnl.WEIGHTS, plain), (dnnl.DIFF_SRC, image)]
        query, which = dnnl.QUERY_WEIGHTS, 1
    else:
        description = create(
            "dnnl_convolution_backward_weights_primitive_desc_create",
            *common, image, free, None, output, *window, forward, dnnl.own_scratchpad(),
        )  # fmt: skip
        arguments = [(dnnl.SRC, image), (dnnl.DIFF_DST, output), (dnnl.DIFF_WEIGHTS, plain)]
        query, which = dnnl.QUERY_DIFF_WEIGHTS, 2
    packing = Packing(which, _query(description, query), unpack=direction == "kernel")
    return Operation(description, arguments, threads, packing)


def batch_norm(
    direction: str, shape: tuple[int, ...], eps: float, relu: bool
) -> tuple[Operation, int]:
    """Batch norm of (N, H, W, C) by its own statistics, and the bytes that its ReLU remembers.

    Args:
        direction: "forward": buffers x, scale, shift, y, mean, variance. "backward": x, mean, variance, dy,
            scale, dx, dscale, dshift. With `relu`, what it remembers is the last result of the first and
            the last operand of the second.
        shape: of x.
        eps: added to the variance, which is the biased one.
        relu: whether a ReLU follows.
    """
    threads = _threads(_PASSES * math.prod(shape))
    dnnl.use_threads(threads)
    x, vector = _nhwc(shape), _strided((shape[-1],), (1,))
    flags = ctypes.c_uint(dnnl.USE_SCALE | dnnl.USE_SHIFT | (dnnl.FUSE_RELU if relu else 0))
    constant = (ctypes.c_float(eps), flags)
    forward = create(
        "dnnl_batch_normalization_forward_primitive_desc_create",
        engine(), dnnl.FORWARD_TRAINING, x, x, *constant, dnnl.own_scratchpad(),
    )  # fmt: skip
    memory: list[tuple[int, Pointer]] = []
    size = 0
    if relu:
        workspace = _query(forward, dnnl.QUERY_WORKSPACE)
        memory = [(dnnl.WORKSPACE, workspace)]
        size = library().dnnl_memory_desc_get_size(workspace)
    statistics = [(dnnl.MEAN, vector), (dnnl.VARIANCE, vector)]
    if direction == "forward":
        operands = [(dnnl.SRC, x), (dnnl.SCALE, vector), (dnnl.SHIFT, vector)]
        results = [(dnnl.DST, x), *statistics, *memory]
        return Operation(forward, [*operands, *results], threads), size
    description = create(
        "dnnl_batch_normalization_backward_primitive_desc_create",
        engine(), dnnl.BACKWARD, x, x, x, *constant, forward, dnnl.own_scratchpad(),
    )  # fmt: skip
    operands = [(dnnl.SRC, x), *statistics, (dnnl.DIFF_DST, x), (dnnl.SCALE, vector), *memory]
    results = [(dnnl.DIFF_SRC, x), (dnnl.DIFF_SCALE, vector), (dnnl.DIFF_SHIFT, vector)]
    return Operation(description, [*operands, *results], threads), size


class _Thread(threading.local):
    """What belongs to a thread: a stream, which must not be shared, and scratch memory."""

    handle: Pointer | None = None
    buffer: np.ndarray = np.empty(0, np.uint8)

    def stream(self) -> Pointer:
        if self.handle is None:
            self.handle = create("dnnl_stream_create", engine(), dnnl.IN_ORDER)
        return self.handle

    def scratch(self, size: int) -> int:
        """Address of so many bytes, which the next call may use again."""
        if self.buffer.size < size + _ALIGNMENT:
            self.buffer = np.empty(size + _ALIGNMENT, np.uint8)
        start = self.buffer.ctypes.data
        return start + -start % _ALIGNMENT


_thread = _Thread()


def _query(description: Pointer, what: int) -> Pointer:
    """A memory descriptor that a primitive descriptor holds."""
    return Pointer(library().dnnl_primitive_desc_query_md(description, what, 0))


def _nhwc(shape: tuple[int, ...]) -> Pointer:
    n, h, w, c = shape
    return _strided((n, c, h, w), (h * w * c, 1, w * c, c))


def _kernel(geometry: Geometry) -> tuple[Pointer, Pointer]:
    """The kernel as JAX holds it, (kh, kw, I, O) in memory, and in a layout of oneDNN's choice."""
    kh, kw, i, o = geometry.kernel
    groups = geometry.groups
    dims: tuple[int, ...] = (o, i, kh, kw)
    strides: tuple[int, ...] = (1, o, kw * i * o, i * o)
    if groups > 1:
        dims, strides = (groups, o // groups, *dims[1:]), (o // groups, *strides)
    free = create(
        "dnnl_memory_desc_create_with_tag",
        len(dims), Dims(*dims), dnnl.FLOAT32, dnnl.ANY_LAYOUT,
    )  # fmt: skip
    return _strided(dims, strides), free


def _strided(dims: tuple[int, ...], strides: tuple[int, ...]) -> Pointer:
    return create(
        "dnnl_memory_desc_create_with_strides",
        len(dims), Dims(*dims), dnnl.FLOAT32, Dims(*strides),
    )  # fmt: skip
