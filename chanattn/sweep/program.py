"""The course of a sweep: from a checked grid to its runs, their cost and the report."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chanattn import cli
from chanattn.errors import Preempted, UsageError, visible
from chanattn.sweep import cost, launchers, store
from chanattn.sweep.controller import Controller
from chanattn.sweep.ending import Interrupt, close
from chanattn.sweep.estimate import Progress, seconds_left
from chanattn.sweep.grid import Sweep, resolve
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.launchers.local import Local
from chanattn.sweep.machine import places
from chanattn.sweep.status import failure, is_done, status
from chanattn.sweep.trial import Trial, timed
from chanattn.sweep.view import View, output
from chanattn.training.experiment import Outline
from chanattn.training.lock import hold
from chanattn.training.progress import duration

_LISTED = 5  # failures whose last lines are printed


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: the sweep file with its argument.
        recipe: what the variants share, with the changes of the command line.
        changed: these changes, by path: (the file's value, now).
        grid: the variants.
        outlines: what is known of their trainings, by variant.
        variants: those to be trained now.
        seeds: those to be trained now.
        workdir: folder of the sweep; None only in a dry run.
        launcher: name of the launcher.
        parallel: runs at a time; 0: the launcher's own choice.
        retry_failed: try failed runs again.
        max_losses: see `Controller`.
        stall: see `launchers.create`.
        cost: measure the cost of each variant at the end.
    """

    file: str
    recipe: ConfigDict
    changed: Mapping[str, tuple[Any, Any]]
    grid: Sweep
    outlines: Mapping[str, Outline]
    variants: Sequence[str]
    seeds: Sequence[int]
    workdir: Path | None
    launcher: str
    parallel: int
    retry_failed: bool
    max_losses: int
    stall: float
    cost: bool

    @property
    def name(self) -> str:
        """Of the sweep: that of its file."""
        return Path(self.file.partition(":")[0]).stem

    @property
    def total_steps(self) -> dict[str, int]:
        """Of a run, by variant."""
        return {name: outline.total_steps for name, outline in self.outlines.items()}

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Of the data set, by variant."""
        return {name: outline.class_names for name, outline in self.outlines.items()}

    def jobs(self, folder: Path) -> list[Job]:
        """The runs, all variants with the first seed first, so that a whole table is there early."""
        return [
            store.job(folder, variant, seed) for seed in self.seeds for variant in self.variants
        ]


def sweep(request: Request) -> None:
    """Trains what is left to train, measures the cost, writes the report.

    Raises:
        UsageError: the folder cannot become, or continue as, this sweep; nothing is written then.
        Preempted: a signal stopped it; every run has saved.
        SystemExit: there are runs that failed.
    """
    folder = request.workdir
    assert folder is not None
    console = output()
    store.read(folder)  # refuses a folder of something else before its lock is written
    store.refuse_shared_folders(request.grid.variants)
    with hold(folder, "another sweep runs in"):
        store.check_unchanged(folder, request.recipe, request.grid, request.name)
        store.check_classes(folder, request.class_names)
        store.write(
            folder,
            request.recipe,
            request.grid,
            request.seeds,
            name=request.name,
            file=request.file,
            only=request.variants,
        )
        jobs = request.jobs(folder)
        with Interrupt() as interrupt:
            _train(request, folder, jobs, console, interrupt)
            if request.cost and cost.missing(folder):
                _measure_cost(request, folder, console, interrupt)
            _report(folder, console)
    if _list_failures(jobs, console):
        sys.exit(cli.FAILED)


def dry_run(request: Request) -> None:
    """Prints the grid, the number of runs and the time they will take; writes nothing."""
    console = output()
    console.print(_grid_table(request))
    for path, (old, new) in request.changed.items():
        console.print(f"for all: {path} {old!r} -> {new!r}", markup=False)
    folder = request.workdir or Path("SWEEP")
    if request.workdir is not None:
        store.check_unchanged(folder, request.recipe, request.grid, request.name)
        store.check_classes(folder, request.class_names)
    jobs, steps = request.jobs(folder), request.total_steps
    done = sum(is_done(job) for job in jobs)
    failed = sum(failure(job) is not None for job in jobs)
    told = [f"{len(request.variants)} variants x {len(request.seeds)} seeds = {len(jobs)} runs"]
    told += [f"{count} {what}" for count, what in ((done, "done"), (failed, "failed")) if count]
    console.print(", ".join(told))
    if done + failed == len(jobs):
        return
    runs = [Progress(job.variant, status(job), steps[job.variant]) for job in jobs]
    shares = places(request.recipe.platform, request.parallel)
    workers = len(shares) if request.launcher == "local" else request.parallel or 1
    left = seconds_left(runs, workers)
    trial: Trial | None = None
    basis = f"from the {done} runs that are done"
    if left is None:
        variant = request.grid.baseline
        console.print(f"timing some steps of {variant} on this machine", markup=False)
        config = resolve(request.recipe, request.grid.variants[variant])
        with Interrupt() as interrupt:
            trial = timed(
                variant,
                config,
                steps[variant],
                Local(shares[:1], request.stall),
                interrupt.received,
            )
        whole = [trial.run_seconds(request.outlines[job.variant]) for job in jobs]
        left = max(sum(whole) / workers, *whole)
        basis = (
            f"from a trial of {variant} on this machine: {trial.startup:.0f} s to start, "
            f"{trial.step * 1000:.3g} ms a step, {duration(whole[0])} a run"
        )
    unmeasured = [name for name in request.variants if name not in cost.known(folder)]
    if request.cost and unmeasured:
        count = f"{len(unmeasured)} variant{'s' if len(unmeasured) > 1 else ''}"
        if trial is None:
            basis += f"; without measuring the cost of {count} at the end"
        else:
            left += trial.cost_seconds(len(unmeasured))
            basis += f"; {duration(trial.cost_seconds(len(unmeasured)))} for the cost of {count}"
    at_a_time = f"{workers} at a time" if workers > 1 else "one at a time"
    console.print(f"estimated time: {duration(left)}, {at_a_time} ({basis})", markup=False)


def _train(
    request: Request, folder: Path, jobs: Sequence[Job], console: Console, interrupt: Interrupt
) -> None:
    launcher = launchers.create(
        request.launcher, folder, request.recipe.platform, request.parallel, request.stall
    )
    view = View(request.grid.title, jobs, request.total_steps, console=console)
    controller = Controller(
        jobs,
        launcher,
        view.tell,
        retry_failed=request.retry_failed,
        max_losses=request.max_losses,
        stall=request.stall,
    )
    with view:
        try:
            complete = controller.run(interrupt.received, lambda: view.look(launcher.running()))
        finally:
            close(launcher, console)
    if not complete:
        raise Preempted(f"stopped by {interrupt.name}; the same command continues the sweep.")


def _measure_cost(request: Request, folder: Path, console: Console, interrupt: Interrupt) -> None:
    console.print("measuring what each variant costs")
    if cost.measure(folder, interrupt.received, request.stall):
        return
    if interrupt.received():
        raise Preempted(
            f"stopped by {interrupt.name}; the same command measures the cost and writes the report."
        )
    console.print("the cost was not measured; the report goes without")


def _report(folder: Path, console: Console) -> None:
    from chanattn.report.sweep_report import write_report

    try:
        console.print(f"report: {visible(str(write_report(folder)))}", markup=False)
    except UsageError as error:  # it must not hide the failures that are listed next
        console.print(f"no report: {error}", markup=False)


def _list_failures(jobs: Sequence[Job], console: Console) -> int:
    """Prints the runs that failed, with the last lines of some; returns how many there are."""
    failures = [(job, noted) for job in jobs if (noted := failure(job)) is not None]
    for number, (job, noted) in enumerate(failures):
        console.print(Text.assemble(("failed", "bold red"), f"  {job.name}: {noted.what}"))
        if number < _LISTED:
            for line in noted.last_lines:
                console.print(Text(f"    {line}"))
    if failures:
        console.print("--retry_failed tries them again; their whole output is in output.log")
    return len(failures)


def _grid_table(request: Request) -> Table:
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
