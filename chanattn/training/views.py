"""How an evaluation looks at a picture: whole or in windows, at several scales, mirrored too."""

import dataclasses
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
        several = self.flip or self.scales != (1.0,)
        if several and type(task).mean_of_views is Task.mean_of_views:
            raise UsageError(
                f"the task {type(task).__name__} cannot evaluate with --flip and --scales: leave them out"
            )
        if self.window is not None and not task.pixelwise:
            raise UsageError(
                f"--window is for answers on every pixel; the task {type(task).__name__} has none: leave it"
                " out"
            )


def outputs_of(
    model: nn.Module, task: Task, weights: Weights, batch: Batch, views: Views | None = None
) -> Any:
    """What a network makes of a batch once it is trained; to be traced."""
    views = views or Views()
    if not views.changes():
        return _outputs(model, task, weights, batch)
    try:
        return _of_views(model, task, weights, batch, views)
    except ScopeParamShapeError as error:
        raise UsageError(
            "the network has parameters for every place of a picture (attention by rows, say), so that it"
            " takes pictures of one size alone: leave out --scales and --window"
        ) from error


def _of_views(model: nn.Module, task: Task, weights: Weights, batch: Batch, views: Views) -> Any:
    size = batch["image"].shape[1], batch["image"].shape[2]
    outputs, mirrored = [], []
    total: Any = ()
    for scale in views.scales:
        height, width = (max(1, round(side * scale)) for side in size)
        scaled = bilinear(batch["image"], (height, width))
        for flipped in (False, True) if views.flip else (False,):
            image = scaled[:, :, ::-1] if flipped else scaled
            # Each view waits for the one before: computed side by side they would need the memory of all.
            image, total = jax.lax.optimization_barrier((image, total))
            total = _in_windows(model, task, weights, batch | {"image": image}, views.window)
            outputs.append(total)
            mirrored.append(flipped)
    if len(outputs) == 1 and views.scales == (1.0,):
        return outputs[0]
    return task.mean_of_views(outputs, mirrored, size)


def _outputs(model: nn.Module, task: Task, weights: Weights, batch: Batch) -> Any:
    with folding():
        outputs, _ = model.apply(weights, batch["image"], train=False, **task.inputs(batch))
    return outputs


def _in_windows(
    model: nn.Module, task: Task, weights: Weights, batch: Batch, window: tuple[int, int] | None
) -> Any:
    """Outputs (B, H, W, C) put together from windows, if the pictures are larger than one."""
    image = batch["image"]
    size = image.shape[1:3]
    if window is None or (size[0] <= window[0] and size[1] <= window[1]):
        return _outputs(model, task, weights, batch)
    height, width = (min(whole, part) for whole, part in zip(size, window, strict=True))
    counts = np.zeros((*size, 1), np.float32)
    total: Any = None
    for top in starts(size[0], height):
        for left in starts(size[1], width):
            part = image[:, top : top + height, left : left + width]
            part, total = jax.lax.optimization_barrier((part, total))
            found = _outputs(model, task, weights, batch | {"image": part}).astype(jnp.float32)
            if total is None:
                total = jnp.zeros((len(image), *size, found.shape[-1]), jnp.float32)
            total = total.at[:, top : top + height, left : left + width].add(found)
            counts[top : top + height, left : left + width] += 1
    return total / counts


def starts(whole: int, window: int) -> list[int]:
    """Where windows begin that cover a side evenly, overlapping by a third of a window or more."""
    if window >= whole:
        return [0]
    number = 1 + -(-(whole - window) // max(1, window * 2 // 3))
    return [i * (whole - window) // (number - 1) for i in range(number)]
