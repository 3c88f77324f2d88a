"""What a sweep would do, and how long that would take: by its runs that are done, or by a short training."""

import dataclasses
import tempfile
import time
from pathlib import Path

from ml_collections import ConfigDict
from rich.table import Table
from rich.text import Text

from chanattn.duration import duration
from chanattn.errors import UsageError
from chanattn.sweep import cost, store
from chanattn.sweep.ending import Interrupt
from chanattn.sweep.estimate import Progress, seconds_left
from chanattn.sweep.grid import resolve
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.launchers.local import Local
from chanattn.sweep.machine import places
from chanattn.sweep.request import GridRequest
from chanattn.sweep.status import failure, is_done, last_lines, status
from chanattn.sweep.view import output
from chanattn.training.config import to_json
from chanattn.training.experiment import Outline

_SECONDS = (
    12.0  # of training after the first step: enough for a figure that is right within a third
)
_FORWARD = 1 / 3  # work of an evaluation's picture, as a part of that of a training's


def dry_run(request: GridRequest) -> None:
    """Prints the grid, the number of runs and the time they will take; writes nothing.

    Raises:
        UsageError: the folder cannot continue as this sweep, or the timed training fails.
    """
    console = output()
    console.print(_grid_table(request))
    for path, (old, new) in request.changed.items():
        console.print(f"for all: {path} {old!r} -> {new!r}", markup=False)
    store.check_unchanged(request.workdir, request.recipe, request.grid, request.name)
    store.check_classes(request.workdir, request.class_names)
    jobs = request.jobs()
    done = sum(map(is_done, jobs))
    failed = sum(failure(job) is not None for job in jobs)
    told = [f"{len(request.variants)} variants x {len(request.seeds)} seeds = {len(jobs)} runs"]
    told += [f"{count} {what}" for count, what in ((done, "done"), (failed, "failed")) if count]
    console.print(", ".join(told))
    if done + failed == len(jobs):
        return
    shares = places(request.recipe.platform, request.parallel)
    workers = len(shares) if request.launcher == "local" else request.parallel or 1
    steps = request.total_steps
    left = seconds_left(
        [Progress(job.variant, status(job), steps[job.variant]) for job in jobs], workers
    )
    measured = cost.known(request.workdir)
    unmeasured = sum(name not in measured for name in request.variants) if request.cost else 0
    costs = f"the cost of {unmeasured} variant{'s' if unmeasured > 1 else ''}"
    if left is not None:
        basis = f"from the {done} runs that are done"
        if unmeasured:
            basis += f"; without measuring {costs} at the end"
    else:
        variant = request.grid.baseline
        console.print(f"timing some steps of {variant} on this machine", markup=False)
        config = resolve(request.recipe, request.grid.variants[variant])
        pace = _timed(variant, config, steps[variant], Local(shares[:1], request.stall))
        whole = [pace.run_seconds(request.outlines[job.variant]) for job in jobs]
        left = max(sum(whole) / workers, *whole)
        basis = (
            f"from a trial of {variant} on this machine: {pace.startup:.0f} s to start, "
            f"{pace.step * 1000:.3g} ms a step, {duration(whole[0])} a run"
        )
        if unmeasured:
            left += pace.cost_seconds(unmeasured)
            basis += f"; {duration(pace.cost_seconds(unmeasured))} for {costs}"
    at_a_time = f"{workers} at a time" if workers > 1 else "one at a time"
    console.print(f"estimated time: {duration(left)}, {at_a_time} ({basis})", markup=False)


def _grid_table(request: GridRequest) -> Table:
    table = Table(
        title=Text(request.grid.title), title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for heading in ("variant", "overrides", "steps"):
        table.add_column(heading, justify="right" if heading == "steps" else "left")
    for name in request.variants:
        overrides = ", ".join(
            f"{path}={value}" for path, value in request.grid.variants[name].items()
        )
        baseline = " (baseline)" if name == request.grid.baseline else ""
        table.add_row(Text(name + baseline), Text(overrides), str(request.total_steps[name]))
    return table


@dataclasses.dataclass(frozen=True)
class _Pace:
    """What a short training has shown: seconds until its first step and of a step, pictures in it."""

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


def _timed(variant: str, config: ConfigDict, steps: int, launcher: Local) -> _Pace:
    """Trains a config, whose whole run has that many steps, for some seconds in a temporary folder."""
    config = ConfigDict(config.to_dict())
    config.log_every = max(1, min(config.log_every or 10, steps // 4, 10))
    config.logging.tensorboard = False
    with tempfile.TemporaryDirectory(prefix="chanattn-trial-") as folder, Interrupt() as interrupt:
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
                    return _Pace(startup, each, config.batch_size)
                if ended:
                    lines = "".join(f"\n  {line}" for line in last_lines(job))
                    raise UsageError(f"the timed trial of {variant} failed:{lines}")
                if interrupt.received():
                    raise UsageError("the timed trial was stopped")
                time.sleep(0.1)
        finally:
            launcher.close()
