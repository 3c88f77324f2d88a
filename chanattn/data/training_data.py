"""Training data: an endless sequence of feeds, and the function that makes batches of them."""

import abc
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import random_streams, threefry
from chanattn.batch import Batch
from chanattn.data import placement
from chanattn.data.batches import TrainingBatches, example_bytes
from chanattn.data.corrupt import CorruptCount
from chanattn.data.fit import Fit
from chanattn.data.memory import read_all
from chanattn.data.pipeline import training_batch
from chanattn.data.prefetch import Prefetch
from chanattn.data.source import Source
from chanattn.data.stream import check_shared_memory, shared_memory, stream
from chanattn.errors import UsageError

#: What one step gets: a pytree of global arrays on the mesh. Opaque to all but `prepare`.
Feed = Any


class TrainingData(abc.ABC):
    """Batches of a training split; the batch of a step is a pure function of the seed and the step.

    Use it as a context manager, or call `close`, to end its threads and worker processes.

    Attributes:
        source: Where the examples come from; `source.fields` are those of its batches.
        num_examples: Examples in the split (readable ones, where all have been read).
        num_classes, class_names: The classes, in the order of the labels.
        image_shape: (H, W, 3) of a batch's images.
        shared_memory: Bytes that its workers may take of it.
        steps_per_epoch: `num_examples // batch_size`; the rest of each epoch's permutation is left out.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, source: Source, fit: Fit, examples: int):
        placement.check_divisible(config.batch_size, mesh)
        if examples < config.batch_size:
            raise UsageError(
                f"config.batch_size={config.batch_size} is larger than the {examples} examples of split "
                f"{config.dataset.split!r}: choose a smaller batch"
            )
        self.mesh = mesh
        self.source = source
        self.seed = int(config.seed)
        self.batch_size = int(config.batch_size)
        self.num_examples = examples
        self.class_names = source.class_names
        self.num_classes = len(source.class_names)
        self.image_shape = (*fit.shape[:2], 3)
        self.steps_per_epoch = examples // config.batch_size
        self.shared_memory = 0
        self._dataset = config.dataset

    def reseed(self, seed: int) -> None:
        """Makes `seed` decide the order, and random crops, of all feeds from now on; older feeds end."""
        self.seed = seed

    @abc.abstractmethod
    def feeds(self, start_step: int) -> Iterator[Feed]:
        """The feeds of steps `start_step`, `start_step + 1`, ... without end.

        Raises:
            UsageError: While iterating: more corrupt pictures than `dataset.max_corrupt`.
        """

    def steps_alike(self, step: int) -> int:
        """How many steps, from `step` on, have the same feed."""
        return 1

    @abc.abstractmethod
    def _select(self, feed: Feed, step: jax.Array) -> Batch:
        """The examples of a step as they were loaded, split over the mesh axis `data`."""

    def prepare(self, feed: Feed, step: jax.Array, key: jax.Array) -> Batch:
        """The augmented, normalised batch of a step; pure, to be traced inside the jitted step.

        Args:
            feed: The step's feed.
            step: Number of the step, int32.
            key: PRNG key for this step's augmentation.

        Returns:
            As `chanattn.data.pipeline.training_batch`, split over the mesh axis `data`.
        """
        stored = self._select(feed, step)
        batch = training_batch(key, stored, self.source.fields, self._dataset)
        return jax.lax.with_sharding_constraint(batch, placement.batch_sharding(self.mesh))

    @abc.abstractmethod
    def close(self) -> None:
        """Ends threads and worker processes; the data can no longer be used."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class DeviceTrainingData(TrainingData):
    """A set that lives in device memory, a copy on every device, as uint8.

    A feed is the whole set and the permutation of the epoch: nothing moves from the host between steps.
    Corrupt pictures are left out of the set.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, source: Source, fit: Fit):
        memory = read_all(source, fit, f"{config.dataset.name}/{config.dataset.split}")
        corrupt = CorruptCount(source, fit, config.dataset.max_corrupt)
        corrupt.add(np.flatnonzero(memory.corrupt))
        arrays = memory.arrays
        if memory.corrupt.any():
            arrays = {name: array[~memory.corrupt] for name, array in arrays.items()}
        examples = len(arrays["image"])
        super().__init__(config, mesh, source, fit, examples)
        self._arrays = {name: placement.put_copies(array, mesh) for name, array in arrays.items()}

    def feeds(self, start_step: int) -> Iterator[Feed]:
        """See `TrainingData.feeds`."""
        epoch, done = divmod(start_step, self.steps_per_epoch)
        while True:
            order = epoch_order(self.seed, epoch, self.num_examples)
            feed = {"arrays": self._arrays, "order": placement.put_copies(order, self.mesh)}
            for _ in range(done, self.steps_per_epoch):
                yield feed
            epoch, done = epoch + 1, 0

    def steps_alike(self, step: int) -> int:
        """See `TrainingData.steps_alike`: those that are left of the epoch."""
        return self.steps_per_epoch - step % self.steps_per_epoch

    def _select(self, feed: Feed, step: jax.Array) -> Batch:
        start = step % self.steps_per_epoch * self.batch_size
        chosen = jax.lax.dynamic_slice_in_dim(feed["order"], start, self.batch_size)
        # Split before the gather, so that each device gathers its own rows only.
        chosen = jax.lax.with_sharding_constraint(chosen, placement.batch_sharding(self.mesh))
        return {
            name: array.at[chosen].get(mode="promise_in_bounds")
            for name, array in feed["arrays"].items()
        }

    def close(self) -> None:
        """See `TrainingData.close`; there is nothing to end."""


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """A permutation of 0 .. examples - 1, (examples,) int32, that depends on seed and epoch alone."""
    return threefry.permutation(
        threefry.fold_in(random_streams.host_key(seed, "order"), epoch), examples
    )


class StreamedTrainingData(TrainingData):
    """A set that is read and decoded while training, by threads or by worker processes.

    A feed is the batch itself, its pictures as uint8; each process reads only the rows its devices hold.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, source: Source, fit: Fit):
        super().__init__(config, mesh, source, fit, len(source))
        self._workers = int(config.dataset.workers)
        rows = placement.local_rows(self.batch_size, mesh)
        self.shared_memory = shared_memory(len(rows) * example_bytes(source, fit), self._workers)
        check_shared_memory(self.shared_memory)
        self._corrupt = CorruptCount(source, fit, config.dataset.max_corrupt)
        self._batches = TrainingBatches(
            source,
            fit,
            batch_size=self.batch_size,
            rows=rows,
            seed=self.seed,
            max_corrupt=config.dataset.max_corrupt,
        )
        self._open: list[Prefetch] = []

    def reseed(self, seed: int) -> None:
        """See `TrainingData.reseed`."""
        self.close()
        super().reseed(seed)
        self._batches.seed = seed

    def feeds(self, start_step: int) -> Iterator[Feed]:
        """See `TrainingData.feeds`."""
        host_batches = stream(self._batches, start_step, None, self._workers)
        feeds = Prefetch(host_batches, self._corrupt, self.batch_size, self.mesh)
        self._open.append(feeds)
        return feeds

    def _select(self, feed: Feed, step: jax.Array) -> Batch:
        return dict(feed)

    def close(self) -> None:
        """See `TrainingData.close`."""
        for feeds in self._open:
            feeds.close()
        self._open.clear()
