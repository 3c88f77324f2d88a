"""A short training that is timed and thrown away, to say beforehand how long a sweep will take."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.sweep.launchers.base import Job, Launcher
from chanattn.sweep.status import last_lines, status
from chanattn.training.config import to_json
from chanattn.training.experiment import Outline

_SECONDS = (
    12.0  # of training, after the first step; enough for a figure that is right within a third
)
_FORWARD = 1 / 3  # work of an evaluation's picture, as a part of that of a training's


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a trial has shown.

    Attributes:
        startup: seconds until the first steps, compilation included.
        step: seconds of a training step.
        batch_size: pictures in it.
    """

    startup: float
    step: float
    batch_size: int

    def run_seconds(self, outline: Outline) -> float:
        """A whole run of the length of `outline`, its evaluations estimated from the training's speed."""
        evaluations = -(-outline.total_steps // outline.eval_every)
        picture = self.step / self.batch_size * _FORWARD
        return (
            self.startup
            + outline.total_steps * self.step
            + evaluations * outline.eval_examples * picture
        )

    def cost_seconds(self, variants: int) -> float:
        """The measurement of the cost of that many variants at the end: each compiles, then has its turns."""
        from chanattn.analysis.cost.measure import ROUNDS, SECONDS, TIMES

        return variants * (self.startup + len(TIMES) * ROUNDS * SECONDS)


def timed(
    variant: str, config: ConfigDict, steps: int, launcher: Launcher, stop: Callable[[], bool]
) -> Trial:
    """Trains the config for some seconds in a temporary folder.

    Args:
        variant: its name.
        config: of a run of the sweep.
        steps: length of a whole run.
        launcher: for one worker; closed at the end.
        stop: asked every moment whether to give up.

    Raises:
        UsageError: the training fails, or was stopped.
    """
    config = ConfigDict(config.to_dict())
    config.log_every = max(1, min(config.log_every or 10, steps // 4, 10))
    config.logging.tensorboard = False
    with tempfile.TemporaryDirectory(prefix="chanattn-trial-") as folder:
        path = Path(folder, "config.json")
        path.write_text(to_json(config), encoding="utf-8")
        job = Job(variant, config.seed, path, Path(folder, "run"))
        begun = time.monotonic()
        first: tuple[float, int] | None = None
        launcher.submit(job)
        try:
            while True:
                ended = launcher.poll()
                now, step = time.monotonic(), status(job).step
                if step and first is None:
                    first = now, step
                if first is not None and step > first[1] and (ended or now > first[0] + _SECONDS):
                    each = (now - first[0]) / (step - first[1])
                    startup = max(0.0, first[0] - begun - first[1] * each)
                    return Trial(startup, each, config.batch_size)
                if ended:
                    lines = "".join(f"\n  {line}" for line in last_lines(job))
                    raise UsageError(f"the timed trial of {variant} failed:{lines}")
                if stop():
                    raise UsageError("the timed trial was stopped")
                time.sleep(0.1)
        finally:
            launcher.close()
