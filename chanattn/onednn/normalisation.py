"""oneDNN's batch norm for given shapes, by the batch's own statistics, in two directions."""

import ctypes
import math

from chanattn.onednn import library as dnnl
from chanattn.onednn.library import Pointer, create, engine, library
from chanattn.onednn.primitive import MEMORY_BOUND, Operation, nhwc, query, strided, threads_for


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
    threads = threads_for(MEMORY_BOUND * math.prod(shape))
    dnnl.use_threads(threads)
    x, vector = nhwc(shape), strided((shape[-1],), (1,))
    flags = ctypes.c_uint(dnnl.USE_SCALE | dnnl.USE_SHIFT | (dnnl.FUSE_RELU if relu else 0))
    constant = (ctypes.c_float(eps), flags)
    forward = create(
        "dnnl_batch_normalization_forward_primitive_desc_create",
        engine(), dnnl.FORWARD_TRAINING, x, x, *constant, dnnl.own_scratchpad(),
    )  # fmt: skip
    memory: list[tuple[int, Pointer]] = []
    size = 0
    if relu:
        workspace = query(forward, dnnl.QUERY_WORKSPACE)
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
