"""Batches that are fetched ahead: a worker that is killed ends the run with an error, and never hangs it."""

import multiprocessing
import threading
import time
from unittest.mock import Mock

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from chanattn.data import prefetch
from chanattn.data.prefetch import Prefetch


class Stuck:
    """A batch, and then a wait for ever, because a worker was killed that holds a lock."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self.workers = [
            multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
            for _ in range(2)
        ]

    def __next__(self) -> dict[str, np.ndarray]:
        if self.workers[0].pid is None:
            for worker in self.workers:
                worker.start()
            return {"image": np.ones((2, 1), np.float32), "corrupt": np.zeros(2, bool)}
        time.sleep(3 * prefetch._POLL_SECONDS)  # the other thread has seen it alive
        self.workers[0].kill()
        self.given_up.wait()
        raise StopIteration

    def close(self) -> None:
        pass


@pytest.fixture
def stuck(monkeypatch):
    monkeypatch.setattr(prefetch, "_PATIENCE", 0.5)
    stream = Stuck()
    yield stream
    stream.given_up.set()


def prefetched(stream: Stuck) -> Prefetch:
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    return Prefetch(stream, Mock(), 2, mesh)


def test_a_worker_that_is_killed_with_a_lock_is_an_error(stuck: Stuck) -> None:
    batches = prefetched(stuck)
    assert next(batches)["image"].shape == (2, 1)
    for _ in range(2):  # and so again
        with pytest.raises(RuntimeError, match="terminated unexpectedly with exit code -9"):
            next(batches)
    batches.close()
    stuck.workers[1].join(5)
    assert [worker.exitcode for worker in stuck.workers] == [-9, -9]


def test_an_end_does_not_wait_for_a_worker_that_was_killed_with_a_lock(stuck: Stuck) -> None:
    with prefetched(stuck) as batches:
        next(batches)
    stuck.workers[1].join(5)
    assert [worker.exitcode for worker in stuck.workers] == [-9, -9]
