"""Evaluation data: every example of a split exactly once."""

import itertools
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn.batch import Batch
from chanattn.data import placement
from chanattn.data.batches import EvaluationBatches, Repeated, example_bytes, stored_shape
from chanattn.data.corrupt import CorruptCount
from chanattn.data.fit import Fit
from chanattn.data.pipeline import evaluation_batch
from chanattn.data.prefetch import Prefetch
from chanattn.data.source import Source
from chanattn.data.stream import check_shared_memory, shared_memory, stream


class EvaluationData:
    """Batches of an evaluation split: in order, the last one padded, with a mask.

    The batch size is rounded up to a multiple of the devices; any size counts every example once.

    Worker processes, which take seconds to start, are kept from one pass to the next, and have its first
    batches ready; `close` ends them.

    Attributes:
        source: Where the examples come from; `source.fields` are those of its batches.
        num_examples: Examples in the split, corrupt ones included.
        num_batches: Batches in one pass.
        num_classes, class_names: The classes, in the order of the labels.
        image_shape: (H, W, 3) of a batch's images.
        stored_shape: Of the stored pictures, height and width None where they differ.
        shared_memory: Bytes that its workers may take of it.
        num_corrupt: Corrupt pictures, of all processes, known after the first pass; they have mask 0, so
            that the masks of a pass sum to `num_examples - num_corrupt`.
    """

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        source: Source,
        fit: Fit,
        *,
        batch_size: int,
        keep: bool,
    ):
        """`keep` leaves the batches in device memory after the first pass."""
        devices = mesh.shape[placement.AXIS]
        self.mesh = mesh
        self.source = source
        self.batch_size = -(-batch_size // devices) * devices
        self.num_examples = len(source)
        self.class_names = source.class_names
        self.num_classes = len(source.class_names)
        self.image_shape = (*fit.shape[:2], 3)
        self.stored_shape = stored_shape(source, fit)
        self.num_corrupt = 0
        rows = placement.local_rows(self.batch_size, mesh)
        self._batches = EvaluationBatches(source, fit, batch_size=self.batch_size, rows=rows)
        self.num_batches = len(self._batches)
        self._workers = 0 if keep else int(config.dataset.workers)
        self.shared_memory = shared_memory(len(rows) * example_bytes(source, fit), self._workers)
        check_shared_memory(self.shared_memory)
        self._corrupt = CorruptCount(source, fit, config.dataset.max_corrupt)
        self._dataset = config.dataset
        self._kept: list[Batch] | None = [] if keep else None
        self._workers_feeds: Prefetch | None = None

    def feeds(self) -> Iterator[Batch]:
        """The feeds of one pass.

        Raises:
            UsageError: While iterating: more corrupt pictures than `dataset.max_corrupt`.
        """
        if self._kept:
            yield from self._kept
            return
        passed, complete = [], False
        feeds = self._workers_feeds or self._start()
        try:
            for feed in itertools.islice(feeds, self.num_batches):
                if self._kept is not None:
                    passed.append(feed)
                yield feed
            complete = True
        finally:
            if complete and self._workers:
                self._workers_feeds = feeds
            else:
                self._workers_feeds = None
                feeds.close()
        self._kept = passed if self._kept is not None else None
        self.num_corrupt = _over_processes(len(self._corrupt))

    def _start(self) -> Prefetch:
        """The feeds of one pass, or with workers those of one pass after the other."""
        if self._workers:
            host_batches = stream(Repeated(self._batches), 0, None, self._workers)
        else:
            host_batches = stream(self._batches, 0, self.num_batches, 0)
        return Prefetch(host_batches, self._corrupt, self.batch_size, self.mesh)

    def close(self) -> None:
        """Ends the worker processes; the next pass would start others."""
        if self._workers_feeds is not None:
            self._workers_feeds.close()
            self._workers_feeds = None

    def prepare(self, feed: Batch) -> Batch:
        """`image` (B, H, W, 3) float32 normalised, `mask` and `index` (B,), the fields; to be traced."""
        return evaluation_batch(feed, self._dataset)


def _over_processes(count: int) -> int:
    if jax.process_count() == 1:
        return count
    return int(multihost_utils.process_allgather(np.int32(count)).sum())
