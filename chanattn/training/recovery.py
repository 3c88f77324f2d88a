"""The newest checkpoint that is as it was saved, and what becomes of those that are not."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from chanattn.errors import DamagedCheckpoint, UsageError
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.state import TrainState

Restored = tuple[TrainState, dict[str, Any]]


def restore_newest(
    checkpoints: Checkpoints, template: TrainState, *, prefer_multiples_of: int = 1
) -> tuple[Restored | None, list[DamagedCheckpoint]]:
    """The state and the JSON values of the newest checkpoint that is as it was saved.

    Damaged newer ones are set aside, by renaming them, once an older one has been read.

    Args:
        checkpoints: of the run.
        template: `abstract_state` of its config.
        prefer_multiples_of: only steps that this number divides are looked at, if there are any.

    Returns:
        State and values, None if there is no checkpoint at all, and what is wrong with those set aside.

    Raises:
        UsageError: all checkpoints are damaged, or the newest one holds another network.
    """
    found = checkpoints.found()
    found = [step for step in found if step % prefer_multiples_of == 0] or found
    damaged: list[DamagedCheckpoint] = []
    for step in reversed(found):
        restored: Restored | None = None
        wrong = checkpoints.damaged(step, "another process could not read it")
        try:
            restored = checkpoints.restore(step, template), checkpoints.progress(step)
        except DamagedCheckpoint as error:
            wrong = error
        if _all_agree(restored is not None):
            checkpoints.set_aside([error.step for error in damaged])
            return restored, damaged
        damaged.append(wrong)
    if not damaged:
        return None, []
    reasons = "; ".join(f"step {error.step}: {error.reason}" for error in damaged)
    raise UsageError(
        f"every checkpoint in {checkpoints.directory} is damaged ({reasons}); nothing was changed. "
        "Put back a copy of one, or start again in another workdir."
    )


def _all_agree(well: bool) -> bool:
    """Whether all processes of the run say so."""
    if jax.process_count() == 1:
        return well
    return bool(np.all(multihost_utils.process_allgather(np.asarray(well))))
