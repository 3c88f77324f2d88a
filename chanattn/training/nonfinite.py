"""What becomes of a run whose loss, gradient or weights are no longer finite numbers; none is ever saved.

stop      the run ends, and the last checkpoint is from before that
skip      the step changes nothing but its number, and is counted
rollback  the run goes on from its last checkpoint, with its data in another order
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from chanattn import random_streams
from chanattn.errors import NonFinite
from chanattn.training.state import Window

STOP, SKIP, ROLLBACK = "stop", "skip", "rollback"


def check(window: Window, config: ConfigDict, last_saved: Callable[[], int | None]) -> None:
    """Does nothing as long as a run may go on.

    Args:
        window: of the newest step; it is waited for.
        config: of the run.
        last_saved: gives the step of the newest checkpoint, None if there is none.

    Raises:
        NonFinite: a value is not finite, or more steps were skipped than may be.
    """
    step, skipped, limit = (
        int(window.first_bad_step),
        int(window.skipped_steps),
        config.nonfinite.limit,
    )
    if step:
        wrong = f"the loss, a gradient or a weight is not finite since step {step}"
    elif skipped > limit:
        step = int(window.last_skipped_step)
        wrong = (
            f"{skipped} steps were skipped because a value was not finite, the last one step {step}, and "
            f"nonfinite.limit is {limit}"
        )
    else:
        return
    saved = last_saved()
    kept = (
        "nothing had been saved" if saved is None else f"step {saved} is the last good checkpoint"
    )
    raise NonFinite(
        f"{wrong}; {kept}. Lower the learning rate, warm up longer, or clip gradients.", step
    )


def seed_after(seed: int, rollbacks: int) -> int:
    """The seed of order, augmentation and dropout after so many roll-backs: the run's own after none."""
    if not rollbacks:
        return seed
    return int(random_streams.sequence(seed, "rollback", rollbacks).generate_state(1)[0])
