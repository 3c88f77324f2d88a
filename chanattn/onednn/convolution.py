"""oneDNN's convolution for given shapes: forward, with what may follow it, and its two gradients."""

import ctypes
import functools
import math
from dataclasses import dataclass
from typing import Any

from chanattn.onednn import library as dnnl
from chanattn.onednn.library import Dims, Pointer, check, create, engine, library
from chanattn.onednn.primitive import (
    Operation,
    Packing,
    implementation,
    nhwc,
    query,
    strided,
    threads_for,
)


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
class Then:
    """What follows the forward convolution in the same pass: relu(result + bias + addend).

    Attributes:
        bias: Whether a vector (O,) is added.
        addend: Whether a map of the result's shape is added.
        relu: Whether negative values become zero.
    """

    bias: bool = False
    addend: bool = False
    relu: bool = False


NOTHING = Then()

_LANES = 16  # channels that oneDNN computes at a time


def convolution(direction: str, geometry: Geometry, then: Then = NOTHING) -> Operation:
    """A convolution or one of its gradients.

    Args:
        direction: "forward": buffers x, kernel, bias and addend if there are, y. "packed": the same with a
            kernel of `packing`. "input": dy, kernel, dx. "kernel": x, dy, dkernel.
        geometry: shapes and windows.
        then: of the forward directions.
    """
    threads = threads_of(geometry)
    dnnl.use_threads(threads)
    image, output = nhwc(geometry.image), nhwc(geometry.output)
    bias = strided(geometry.kernel[3:], (1,))
    plain, free = _kernel_layouts(geometry)
    window, common = _window(geometry), (engine(), dnnl.DIRECT)
    if direction == "packed":
        plain = free = query(_forward(geometry, free), dnnl.QUERY_WEIGHTS)
    forward = _forward(geometry, free, then)
    if direction in ("forward", "packed"):
        added = [(dnnl.BIAS, bias)] * then.bias + [(dnnl.ADDEND, output)] * then.addend
        arguments = [(dnnl.SRC, image), (dnnl.WEIGHTS, plain), *added, (dnnl.DST, output)]
        if direction == "packed":
            return Operation(forward, arguments, threads)
        description, layout, which = forward, dnnl.QUERY_WEIGHTS, 1
    elif direction == "input":
        description = create(
            "dnnl_convolution_backward_data_primitive_desc_create",
            *common, image, free, output, *window, forward, dnnl.own_scratchpad(),
        )  # fmt: skip
        arguments = [(dnnl.DIFF_DST, output), (dnnl.WEIGHTS, plain), (dnnl.DIFF_SRC, image)]
        layout, which = dnnl.QUERY_WEIGHTS, 1
    else:
        description = _kernel_gradient(geometry)
        arguments = [(dnnl.SRC, image), (dnnl.DIFF_DST, output), (dnnl.DIFF_WEIGHTS, plain)]
        layout, which = dnnl.QUERY_DIFF_WEIGHTS, 2
    packed, values = query(description, layout), math.prod(geometry.kernel)
    packing = Packing(which, packed, unpack=direction == "kernel", size=values)
    return Operation(description, arguments, threads, packing)


def packing(geometry: Geometry) -> tuple[Operation, int]:
    """What brings a kernel into the layout that "packed" takes, and its bytes: buffers kernel, packed."""
    threads = threads_of(geometry)  # on which the choice of the layout may depend
    dnnl.use_threads(threads)
    plain, free = _kernel_layouts(geometry)
    packed = query(_forward(geometry, free), dnnl.QUERY_WEIGHTS)
    copy = create(
        "dnnl_reorder_primitive_desc_create",
        plain, engine(), packed, engine(), dnnl.own_scratchpad(),
    )  # fmt: skip
    size = library().dnnl_memory_desc_get_size(packed)
    return Operation(copy, [(dnnl.SRC, plain), (dnnl.DST, packed)], threads), size


def _forward(geometry: Geometry, kernel: Pointer, then: Then = NOTHING) -> Pointer:
    """The description of the forward direction with a kernel of that layout."""
    bias = strided(geometry.kernel[3:], (1,)) if then.bias else None
    image, output = nhwc(geometry.image), nhwc(geometry.output)
    return create(
        "dnnl_convolution_forward_primitive_desc_create",
        engine(), dnnl.FORWARD_TRAINING, dnnl.DIRECT, image, kernel, bias, output,
        *_window(geometry), _attributes(then, output),
    )  # fmt: skip


@functools.cache  # what oneDNN is asked for stays in memory
def multiplies_patches(direction: str, geometry: Geometry) -> bool:
    """Whether oneDNN has no better code for it on this processor than a product with copied patches.

    Args:
        direction: "forward", or "kernel" for its gradient.
        geometry: shapes and windows.
    """
    dnnl.use_threads(threads_of(geometry))  # on which the choice of the code may depend
    if direction == "kernel":
        description = _kernel_gradient(geometry)
    else:
        description = _forward(geometry, _kernel_layouts(geometry)[1])
    return implementation(description).startswith("x64:gemm")


def _kernel_gradient(geometry: Geometry) -> Pointer:
    """The description of the gradient of the kernel, in a layout of oneDNN's choice."""
    _, free = _kernel_layouts(geometry)
    return create(
        "dnnl_convolution_backward_weights_primitive_desc_create",
        engine(), dnnl.DIRECT, nhwc(geometry.image), free, None, nhwc(geometry.output),
        *_window(geometry), _forward(geometry, free), dnnl.own_scratchpad(),
    )  # fmt: skip


def threads_of(geometry: Geometry) -> int:
    """Threads for a direction of it."""
    *positions, outputs = geometry.output
    channels = max(outputs, _LANES)  # fewer take as long
    return threads_for(math.prod(positions) * channels * math.prod(geometry.kernel[:3]))


def _window(geometry: Geometry) -> tuple[Any, ...]:
    return (
        Dims(*geometry.strides),
        Dims(*(d - 1 for d in geometry.dilation)),
        Dims(*(before for before, _ in geometry.padding)),
        Dims(*(after for _, after in geometry.padding)),
    )


def _attributes(then: Then, output: Pointer) -> Pointer:
    """Scratch memory of the caller's, and the sum and ReLU that follow."""
    attributes = dnnl.new_attributes()
    if then.addend or then.relu:
        steps = create("dnnl_post_ops_create")
        if then.addend:
            check(library().dnnl_post_ops_append_binary(steps, dnnl.BINARY_ADD, output))
        if then.relu:
            zero = ctypes.c_float(0)
            check(library().dnnl_post_ops_append_eltwise(steps, dnnl.RELU, zero, zero))
        check(library().dnnl_primitive_attr_set_post_ops(attributes, steps))
    return attributes


def _kernel_layouts(geometry: Geometry) -> tuple[Pointer, Pointer]:
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
    return strided(dims, strides), free
