"""How an evaluation looks at a picture: whole or in windows, at several scales, mirrored too."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamShapeError

from chanattn.batch import Batch
from chanattn.errors import UsageError
from chanattn.layers.resize import bilinear
from chanattn.models import folding
from chanattn.tasks import Task
from chanattn.training.state import Weights

#: `(weights, image, batch) -> outputs`; of the batch it takes what the task says, but not the pictures.
Network = Callable[[Weights, jax.Array, Batch], Any]


@dataclasses.dataclass(frozen=True)
class Views:
    """What a network is shown of every picture; answers are the means of the probabilities.

    Attributes:
        flip: the mirrored picture beside the picture.
        scales: of the sides, each a view of its own.
        window: height and width; views larger than that are taken in windows of that size, which overlap by a
            third and more, with the mean of the outputs where they do. None: views are taken whole.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 16 for scale in self.scales):
            raise UsageError(
                f"--scales must be numbers above 0 and at most 16, not {list(self.scales)}"
            )
        if self.window is not None and min(self.window) < 1:
            raise UsageError(
                f"--window must be a height and a width of at least 1, not {self.window}"
            )

    def changes(self) -> dict[str, Any]:
        """What differs from one look at the whole picture; JSON values."""
        found: dict[str, Any] = {"flip": True} if self.flip else {}
        if self.scales != (1.0,):
            found["scales"] = list(self.scales)
        if self.window is not None:
            found["window"] = list(self.window)
        return found

    def several(self) -> bool:
        """Whether there is more to average than windows."""
        return self.flip or self.scales != (1.0,)

    def mirrored(self) -> tuple[bool, ...]:
        """Whether left and right are exchanged in the views of one scale."""
        return (False, True) if self.flip else (False,)

    def name(self) -> str:
        """The same as the end of a file's name: "-flip-scales0.75_1_1.25"."""
        found = "-flip" if self.flip else ""
        if self.scales != (1.0,):
            found += "-scales" + "_".join(f"{scale:g}" for scale in self.scales)
        if self.window is not None:
            found += "-window{}x{}".format(*self.window)
        return found

    def check(self, task: Task) -> None:
        """Refuses what the task cannot do.

        Raises:
            UsageError: its answers have no means, or its outputs do not lie at places.
        """
        if self.several() and type(task).mean_of_views is Task.mean_of_views:
            raise UsageError(
                f"the task {type(task).__name__} cannot evaluate with --flip and --scales: leave them out"
            )
        if self.window is not None and not task.pixelwise:
            raise UsageError(
                f"--window is for answers on every pixel; the task {type(task).__name__} has none: leave it"
                " out"
            )


def network_of(model: nn.Module, task: Task) -> Network:
    """The network once it is trained, as a program of its own; inside a larger one a part of that.

    Args:
        model: called as `apply(variables, image, train=False)`, returns `(outputs, endpoints)`.
        task: says what else it is given.
    """

    def network(weights: Weights, image: jax.Array, batch: Batch) -> Any:
        with folding():
            outputs, _ = model.apply(weights, image, train=False, **task.inputs(batch))
        return outputs

    return jax.jit(network, inline=True)


def outputs_on(network: Network, weights: Weights, batch: Batch, views: Views) -> list[Any]:
    """What a network makes of each view of a batch.

    To be traced. With windows it is to be called on the host, so that the network is compiled for one window
    and takes the memory of one: in one program, XLA computes on a CPU side by side what it can.

    Raises:
        UsageError: the network takes pictures of one size alone, and the views have others.
    """
    image = batch["image"]
    if not views.changes():
        return [network(weights, image, batch)]
    outputs = []
    try:
        for scale in views.scales:
            height, width = (max(1, round(side * scale)) for side in image.shape[1:3])
            scaled = _resized(image, (height, width))
            for flipped in views.mirrored():
                seen = _exchanged(scaled) if flipped else scaled
                outputs.append(_in_windows(network, weights, seen, batch, views.window))
    except ScopeParamShapeError as error:
        raise UsageError(
            "the network has parameters for every place of a picture (attention by rows, say), so that it"
            " takes pictures of one size alone: leave out --scales and --window"
        ) from error
    return outputs


def together(task: Task, outputs: Sequence[Any], batch: Batch, views: Views) -> Any:
    """What `outputs_on` gave as the outputs on the pictures; to be traced."""
    if not views.several():
        return outputs[0]
    mirrored = [flipped for _ in views.scales for flipped in views.mirrored()]
    _, height, width, _ = batch["image"].shape
    return task.mean_of_views(outputs, mirrored, (height, width))


def _in_windows(
    network: Network,
    weights: Weights,
    image: jax.Array,
    batch: Batch,
    window: tuple[int, int] | None,
) -> Any:
    """Outputs (B, H, W, C) put together from windows, if the pictures are larger than one."""
    size = image.shape[1], image.shape[2]
    if window is None or (size[0] <= window[0] and size[1] <= window[1]):
        return network(weights, image, batch)
    height, width = (min(whole, part) for whole, part in zip(size, window, strict=True))
    counts = np.zeros((*size, 1), np.float32)
    total = None
    for top in starts(size[0], height):
        for left in starts(size[1], width):
            part = _cut(image, top, left, (height, width))
            total = _added(total, network(weights, part, batch), top, left, size)
            counts[top : top + height, left : left + width] += 1
    return _divided(total, counts)


_resized = jax.jit(bilinear, static_argnums=1, inline=True)
_exchanged = jax.jit(lambda image: image[:, :, ::-1], inline=True)
_divided = jax.jit(lambda total, counts: total / counts, inline=True)


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _cut(image: jax.Array, top: int, left: int, window: tuple[int, int]) -> jax.Array:
    shape = image.shape[0], *window, image.shape[3]
    return jax.lax.dynamic_slice(image, (0, top, left, 0), shape)


@functools.partial(jax.jit, static_argnums=4, inline=True)
def _added(
    total: jax.Array | None, part: jax.Array, top: int, left: int, size: tuple[int, int]
) -> jax.Array:
    """The sum of outputs (B, H, W, C) with those of one window; None: of none so far."""
    if total is None:
        total = jnp.zeros((part.shape[0], *size, part.shape[3]), jnp.float32)
    before = jax.lax.dynamic_slice(total, (0, top, left, 0), part.shape)
    return jax.lax.dynamic_update_slice(total, before + part, (0, top, left, 0))


def starts(whole: int, window: int) -> list[int]:
    """Where windows begin that cover a side evenly, overlapping by a third of a window or more."""
    if window >= whole:
        return [0]
    number = 1 + -(-(whole - window) // max(1, window * 2 // 3))
    return [i * (whole - window) // (number - 1) for i in range(number)]
