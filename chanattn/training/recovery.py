"""The newest checkpoint that is as it was saved, and what becomes of those that are not."""

import time
from typing import Any

from chanattn.errors import DamagedCheckpoint, UsageError
from chanattn.training.agreement import all_agree
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.state import TrainState

Restored = tuple[TrainState, dict[str, Any]]

_MOST_SECONDS = 60  # for which a network file system may show a process what it has shown it before


def restore_newest(
    checkpoints: Checkpoints, template: TrainState, *, prefer_multiples_of: int = 1
) -> tuple[Restored | None, list[DamagedCheckpoint]]:
    """The state and the JSON values of the newest checkpoint that is as it was saved.

    Damaged newer ones are set aside, by renaming them, once an older one has been read. With several
    processes the first one says which there are; the others wait until they see the same.

    Args:
        checkpoints: of the run.
        template: `abstract_state` of its config.
        prefer_multiples_of: only steps that this number divides are looked at, if there are any.

    Returns:
        State and values, None if there is no checkpoint at all, and what is wrong with those set aside.

    Raises:
        UsageError: all checkpoints are damaged, the newest one holds another network, or a process never sees
            what process 0 does.
    """
    found = checkpoints.steps_on_disk()
    found = [step for step in found if step % prefer_multiples_of == 0] or found
    damaged: list[DamagedCheckpoint] = []
    for step in reversed(found):
        restored: Restored | None = None
        wrong = checkpoints.damaged(step, "another process could not read it")
        try:
            values = checkpoints.progress(step)
            _wait_until_all_see(checkpoints, step)
            restored = checkpoints.restore(step, template), values
        except DamagedCheckpoint as error:
            wrong = error
        if all_agree(restored is not None):
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


def _wait_until_all_see(checkpoints: Checkpoints, step: int) -> None:
    """Returns once a checkpoint that process 0 has read is complete for all of them."""
    deadline = time.monotonic() + _MOST_SECONDS
    while not all_agree(checkpoints.sees(step)):
        if not all_agree(time.monotonic() < deadline):
            raise UsageError(
                f"the checkpoint of step {step} in {checkpoints.directory} is whole for process 0, but for "
                f"{_MOST_SECONDS} s not for all of them; give all processes the same shared --workdir."
            )
        time.sleep(_MOST_SECONDS / 100)
