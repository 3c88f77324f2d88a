"""oneDNN's maximum over windows for given shapes, in two directions."""

import math
from dataclasses import dataclass

from chanattn.onednn import library as dnnl
from chanattn.onednn.library import Dims, create, engine, library
from chanattn.onednn.primitive import MEMORY_BOUND, Operation, nhwc, query, threads_for


@dataclass(frozen=True)
class Windows:
    """Square windows on a map (N, H, W, C).

    Attributes:
        image: Shape of the map.
        size: Height and width of a window.
        stride: Step in both directions.
        padding: Cells on each side that never win.
    """

    image: tuple[int, ...]
    size: int
    stride: int
    padding: int

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the result."""
        n, *sides, c = self.image
        height, width = ((side + 2 * self.padding - self.size) // self.stride + 1 for side in sides)
        return n, height, width, c


def max_pool(direction: str, windows: Windows) -> tuple[Operation, int]:
    """The maximum or its gradient, and the bytes that tell where maxima were found.

    Of equal values the first counts.

    Args:
        direction: "forward": buffers x, y, places. "backward": dy, places, dx.
        windows: shapes.
    """
    threads = threads_for(MEMORY_BOUND * math.prod(windows.image))
    dnnl.use_threads(threads)
    image, output = nhwc(windows.image), nhwc(windows.output)
    # What the last window leaves over at the end is no padding.
    ends = [
        (cells - 1) * windows.stride + windows.size - side - windows.padding
        for side, cells in zip(windows.image[1:3], windows.output[1:3], strict=True)
    ]
    square = (
        *(Dims(each, each) for each in (windows.stride, windows.size, 0, windows.padding)),
        Dims(*ends),
    )
    forward = create(
        "dnnl_pooling_forward_primitive_desc_create",
        engine(), dnnl.FORWARD_TRAINING, dnnl.MAXIMUM, image, output, *square, dnnl.own_scratchpad(),
    )  # fmt: skip
    places = query(forward, dnnl.QUERY_WORKSPACE)
    size = library().dnnl_memory_desc_get_size(places)
    if direction == "forward":
        arguments = [(dnnl.SRC, image), (dnnl.DST, output), (dnnl.WORKSPACE, places)]
        return Operation(forward, arguments, threads), size
    backward = create(
        "dnnl_pooling_backward_primitive_desc_create",
        engine(), dnnl.MAXIMUM, image, output, *square, forward, dnnl.own_scratchpad(),
    )  # fmt: skip
    arguments = [(dnnl.DIFF_DST, output), (dnnl.WORKSPACE, places), (dnnl.DIFF_SRC, image)]
    return Operation(backward, arguments, threads), size
