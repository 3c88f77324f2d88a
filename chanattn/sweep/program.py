"""The course of a sweep: from a checked grid to its runs, their cost and the report."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from chanattn import cli
from chanattn.errors import Preempted, UsageError, visible
from chanattn.sweep import cost, store
from chanattn.sweep.controller import Controller
from chanattn.sweep.ending import Interrupt, closing
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.request import GridRequest
from chanattn.sweep.status import failure
from chanattn.sweep.view import View, output
from chanattn.training.lock import hold

_LISTED = 5  # failures whose last lines are printed


def sweep(request: GridRequest) -> None:
    """Trains what is left to train, measures the cost, writes the report.

    Raises:
        UsageError: the folder cannot become, or continue as, this sweep; nothing is written then.
        Preempted: a signal stopped it; every run has saved.
        SystemExit: there are runs that failed.
    """
    folder, console = request.workdir, output()
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
        jobs = request.jobs()
        with Interrupt() as interrupt:
            _train(request, jobs, console, interrupt)
            if request.cost and cost.missing(folder):
                _measure_cost(request, console, interrupt)
            _report(folder, console)
    if _list_failures(jobs, console):
        sys.exit(cli.FAILED)


def _train(
    request: GridRequest, jobs: Sequence[Job], console: Console, interrupt: Interrupt
) -> None:
    launcher = request.launch()
    view = View(request.grid.title, jobs, request.total_steps, console=console)
    controller = Controller(
        jobs,
        launcher,
        view.tell,
        retry_failed=request.retry_failed,
        max_losses=request.max_losses,
        stall=request.stall,
    )
    with view, closing(launcher, console):
        complete = controller.run(interrupt.received, lambda: view.look(launcher.running()))
    if not complete:
        raise Preempted(f"stopped by {interrupt.name}; the same command continues the sweep.")


def _measure_cost(request: GridRequest, console: Console, interrupt: Interrupt) -> None:
    console.print("measuring what each variant costs")
    if cost.measure(request.workdir, interrupt.received, request.stall):
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
