"""Evaluation data: every example of a split exactly once."""

import math
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn.data import placement
from chanattn.data.batches import EvaluationBatches
from chanattn.data.corrupt import CorruptCount
from chanattn.data.fit import Fit
from chanattn.data.pipeline import Batch, evaluation_batch
from chanattn.data.prefetch import Prefetch
from chanattn.data.source import Source
from chanattn.data.stream import check_shared_memory, shared_memory, stream

Feed = dict[str, jax.Array]


class EvaluationData:
    """Batches of an evaluation split: in order, the last one padded, with a mask.

    The batch size is rounded up to a multiple of the devices; any size counts every example once.

    Attributes:
        source: Where the examples come from.
        num_examples: Examples in the split, corrupt ones included.
        num_batches: Batches in one pass.
        num_classes, class_names: The classes, in the order of the labels.
        image_shape: (H, W, 3) of a batch's images.
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
        devices = mesh.shape["data"]
        self.mesh = mesh
        self.source = source
        self.batch_size = -(-batch_size // devices) * devices
        self.num_examples = len(source)
        self.class_names = source.class_names
        self.num_classes = len(source.class_names)
        self.image_shape = (*fit.shape[:2], 3)
        self.num_corrupt = 0
        rows = placement.local_rows(self.batch_size, mesh)
        self._batches = EvaluationBatches(source, fit, batch_size=self.batch_size, rows=rows)
        self.num_batches = len(self._batches)
        self._workers = 0 if keep else int(config.dataset.workers)
        self.shared_memory = shared_memory(len(rows) * math.prod(fit.shape), self._workers)
        check_shared_memory(self.shared_memory)
        self._corrupt = CorruptCount(source, fit, config.dataset.max_corrupt)
        self._dataset = config.dataset
        self._kept: list[Feed] | None = [] if keep else None

    def feeds(self) -> Iterator[Feed]:
        """The feeds of one pass.

        Raises:
            UsageError: While iterating: more corrupt pictures than `dataset.max_corrupt`.
        """
        if self._kept:
            yield from self._kept
            return
        passed = []
        host_batches = stream(self._batches, 0, self.num_batches, self._workers)
        with Prefetch(host_batches, self._corrupt, self.batch_size, self.mesh) as feeds:
            for feed in feeds:
                if self._kept is not None:
                    passed.append(feed)
                yield feed
        self._kept = passed if self._kept is not None else None
        self.num_corrupt = _over_processes(len(self._corrupt))

    def prepare(self, feed: Feed) -> Batch:
        """`image` (B, H, W, 3) float32 normalised, `label` (B,), `mask` (B,); to be traced."""
        return evaluation_batch(feed, self._dataset)


def _over_processes(count: int) -> int:
    if jax.process_count() == 1:
        return count
    return int(multihost_utils.process_allgather(np.int32(count)).sum())
