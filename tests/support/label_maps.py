"""Segmentation of pictures in memory, by a network whose answer on a pixel depends on that pixel alone."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from chanattn.config import get_config
from chanattn.data import EvaluationData
from chanattn.data.fields import Mask
from chanattn.data.fit import Fit
from chanattn.data.source import Record
from chanattn.tasks.segmentation import Segmentation
from chanattn.training.evaluator import Evaluator
from chanattn.training.views import Views

CLASSES, IGNORE = 4, 9


class Pictures:
    """Random pictures with label maps of sizes (H, W), some pixels without a class."""

    note = ""
    absent = ()
    class_names = tuple("abcd")

    def __init__(self, sizes: Sequence[tuple[int, int]]):
        rng = np.random.default_rng(0)
        self.images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
        values = np.array([0, 1, 3, IGNORE], np.uint8)  # class 2 never occurs
        self.label_maps = [rng.choice(values, size) for size in sizes]
        self.fields = {"label_map": Mask(CLASSES, IGNORE)}
        same = len(set(sizes)) == 1
        self.image_shape = (*(sizes[0] if same else (None, None)), 3)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int]) -> list[Record]:
        return [Record(self.images[i], {"label_map": self.label_maps[i]}) for i in indices]

    def describe(self, index: int) -> str:
        return f"pictures[{index}]"

    def places(self) -> Iterator[Hashable]:
        return iter(range(len(self)))


class ByPixel(nn.Module):
    """The class whose number is nearest to the sum of the colours, in whole numbers: exact everywhere.

    Those of a picture at twice its size are sixteenths, none of which is rounded up here and down there.
    """

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> Any:
        colours = jnp.floor(255 * (image / 2 + 0.5) + 0.6)
        value = colours.sum(axis=-1, keepdims=True) % CLASSES
        return -jnp.abs(value - jnp.arange(CLASSES)), {}


def predicted(image: np.ndarray) -> np.ndarray:
    """What `ByPixel` answers on a stored picture, by numpy."""
    return image.astype(int).sum(axis=-1) % CLASSES


def devices(number: int) -> Mesh:
    """A mesh of some of the devices of this process."""
    chosen = jax.devices()[:number]
    return jax.make_mesh((number,), ("data",), axis_types=(AxisType.Auto,), devices=chosen)


def evaluated(
    source: Pictures,
    batch_size: int,
    mesh: Mesh,
    model: Any = None,
    weights: Any = None,
    views: Views | None = None,
) -> dict[str, Any]:
    """The results of an evaluation of pictures of one size."""
    height, width, _ = source.image_shape
    config = get_config()
    fit = Fit((height, width, 3), resize=False)
    examples = EvaluationData(config, mesh, source, fit, batch_size=batch_size, keep=False)
    model = model or ByPixel()
    evaluate = Evaluator(model, Segmentation(), examples, mesh, answers=True, views=views)
    found = evaluate(weights or {"params": {}, "batch_stats": {}})
    assert found is not None
    return found
