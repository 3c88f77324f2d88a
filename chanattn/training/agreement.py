"""Several processes of one run that do the same: the first one decides, or all of them are asked.

Each process has a view of its own of a disk that they share: a network file system shows a file to one of
them seconds before another. What is decided from the disk is therefore decided by process 0 and sent to the
others, or they would wait for each other in different places.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from chanattn.errors import DamagedCheckpoint, UsageError

T = TypeVar("T")


def decided(decide: Callable[[], T]) -> T:
    """What process 0 answers, in every process; all of them must ask.

    Args:
        decide: called in process 0 only; its answer consists of JSON values.

    Raises:
        UsageError: process 0 has raised it; all of them raise the same.
    """
    if jax.process_count() == 1:
        return decide()
    error: UsageError | None = None
    message: dict[str, Any] = {}
    if jax.process_index() == 0:
        try:
            message = {"answer": decide()}
        except DamagedCheckpoint as caught:
            error, message = caught, {"damaged": [str(caught.where), caught.step, caught.reason]}
        except UsageError as caught:
            error, message = caught, {"error": str(caught)}
    message = json.loads(_broadcast(json.dumps(message).encode()))
    if error is not None:
        raise error
    if "damaged" in message:
        raise DamagedCheckpoint(*message["damaged"])
    if "error" in message:
        raise UsageError(message["error"])
    answer: T = message["answer"]
    return answer


def all_agree(well: bool) -> bool:
    """Whether all processes of the run say so; all of them must ask."""
    return not any_says(not well)


def any_says(so: bool) -> bool:
    """Whether any process of the run says so; all of them must ask."""
    if jax.process_count() == 1:
        return so
    return bool(np.any(multihost_utils.process_allgather(np.asarray(so))))


def _broadcast(message: bytes) -> bytes:
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.zeros(1 << length.bit_length(), np.uint8)  # few sizes, for each one is compiled
    if jax.process_index() == 0:
        padded[:length] = np.frombuffer(message, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)
    return received[:length].tobytes()
