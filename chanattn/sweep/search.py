"""The course of a search for hyper-parameters, from a space to the best trial.

    SWEEP/search.db                     Optuna's study        SWEEP/search.json   all trials, the best one
    SWEEP/jobs/trial_0007/seed0.json    its config            SWEEP/runs/trial_0007/seed0/   its run

A trial is one choice, trained with every seed; `python -m chanattn.sweep --search` makes them.
"""

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from chanattn import cli
from chanattn.errors import Preempted, UsageError
from chanattn.files import write_json, write_text
from chanattn.runs.layout import INDEX, SUMMARY
from chanattn.runs.metrics_log import deciding, deciding_curve, read_lines
from chanattn.runs.summary import Summary
from chanattn.sweep import launchers, store
from chanattn.sweep.controller import Controller
from chanattn.sweep.ending import Interrupt, close
from chanattn.sweep.grid import resolve
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.space import Space
from chanattn.sweep.status import failure, is_done
from chanattn.sweep.study import Study
from chanattn.sweep.view import output
from chanattn.training.config import flatten, to_json
from chanattn.training.lock import hold
from chanattn.training.run_directory import command_line

DATABASE, RESULT = "search.db", "search.json"
_LOOK = 2.0  # seconds between two looks at the curves of running trials


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: the sweep file with its argument.
        class_names: of the recipe's data set, in the order of the labels.
        recipe: what all trials share; with the splits of `held_out.honest_splits`.
        changed: fields of the recipe that the command line has changed, with their values.
        space: what a trial chooses.
        trials: how many, those of earlier calls included.
        at_a_time: trials that run side by side.
        seeds: of each trial; its value is the mean over them.
        metric: of the last evaluation of a run, by its name.
        maximize: whether a higher value of it is better.
        prune: stop a trial whose first seed lags behind the median of the others.
        search_seed: of the choices.
        workdir: folder of the search.
        launcher: name of the launcher.
        parallel: runs at a time; 0: the launcher's own choice.
        max_losses: see `Controller`.
        stall: see `launchers.create`.
    """

    file: str
    class_names: Sequence[str]
    recipe: ConfigDict
    changed: Mapping[str, Any]
    space: Space
    trials: int
    at_a_time: int
    seeds: Sequence[int]
    metric: str
    maximize: bool
    prune: bool
    search_seed: int
    workdir: Path
    launcher: str
    parallel: int
    max_losses: int
    stall: float

    def what(self) -> dict[str, Any]:
        """All that must stay the same for trials to be comparable."""
        fields = {path: value for path, value in flatten(self.recipe).items() if path != "seed"}
        return {
            "seeds": list(self.seeds),
            "metric": self.metric,
            "search_seed": self.search_seed,
            **{f"space of {path}": each.to_json() for path, each in self.space.items()},
            **{path: value for path, value in fields.items() if path not in self.space},
        }

    def jobs(self, number: int) -> list[Job]:
        """The runs of a trial."""
        return [store.job(self.workdir, f"trial_{number:04d}", seed) for seed in self.seeds]


def search(request: Request) -> None:
    """Makes the trials that are left to make, and names the best one.

    Raises:
        UsageError: the folder holds something else, or another search; nothing is changed then.
        Preempted: a signal stopped it; every run has saved.
        SystemExit: no trial has ended well.
    """
    folder, console = request.workdir, output()
    if (folder / INDEX).exists() or (
        not (folder / DATABASE).exists() and folder.is_dir() and any(folder.glob("[!.]*"))
    ):
        raise UsageError(f"{folder} holds something else than a search; choose another --workdir")
    with hold(folder, "another search runs in"):
        study = Study(
            folder / DATABASE,
            request.space,
            request.what(),
            maximize=request.maximize,
            seed=request.search_seed,
        )
        trials = [job.variant for number in range(len(study)) for job in request.jobs(number)]
        store.check_classes(folder, dict.fromkeys(trials, request.class_names))
        with Interrupt() as interrupt:
            launcher = launchers.create(
                request.launcher,
                folder,
                request.recipe.platform,
                request.parallel,
                request.stall,
            )
            try:
                complete = _Search(request, study, launcher, console).run(interrupt.received)
            finally:
                close(launcher, console)
        if not complete:
            raise Preempted(f"stopped by {interrupt.name}; the same command continues the search.")
        _conclude(request, study, console)


class _Search:
    """Keeps so many trials going until there have been enough."""

    def __init__(self, request: Request, study: Study, launcher: Any, console: Console) -> None:
        self._request, self._study, self._console = request, study, console
        self._controller = Controller(
            (), launcher, self._told, max_losses=request.max_losses, stall=request.stall
        )
        self._open: dict[int, list[Job]] = {}
        self._pruned: set[int] = set()
        self._looked = 0.0

    def run(self, stop: Callable[[], bool]) -> bool:
        """Whether all trials were made; False after `stop`."""
        for number in self._study.running():
            self._console.print(f"trial {number} goes on", markup=False)
            self._begin(number)
        self._look()
        return self._controller.run(stop, self._look)

    def _look(self) -> None:
        """Ends the trials whose runs have ended, and begins new ones in their place."""
        if self._request.prune and time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            self._prune()
        for number, jobs in list(self._open.items()):
            if any(failure(job) is not None for job in jobs) or all(map(is_done, jobs)):
                self._end(number, jobs)
        while len(self._open) < self._request.at_a_time and len(self._study) < self._request.trials:
            self._begin(self._study.ask())

    def _begin(self, number: int) -> None:
        overrides = self._study.overrides(number)
        shown = "  ".join(f"{path}={_short(value)}" for path, value in overrides.items())
        self._console.print(f"trial {number}  {shown}", markup=False)
        self._open[number] = self._request.jobs(number)
        for job in self._open[number]:
            if not job.config.exists():
                job.config.parent.mkdir(parents=True, exist_ok=True)
                write_text(job.config, to_json(resolve(self._request.recipe, overrides, job.seed)))
        for job in self._open[number]:
            self._controller.add(job)

    def _end(self, number: int, jobs: Sequence[Job]) -> None:
        del self._open[number]
        failures = [noted for job in jobs if (noted := failure(job)) is not None]
        if failures:
            for job in jobs:
                self._controller.withdraw(job)
            reason = failures[0].reason
            # Where training diverges is nowhere to look further; a full disk says nothing of the choice.
            if "is not finite" in reason:
                self._study.prune(number)
            else:
                self._study.fail(number)
            self._console.print(f"trial {number} failed: {reason}", markup=False)
        else:
            value = sum(_value(job, self._request.metric) for job in jobs) / len(jobs)
            self._study.tell(number, value)
            best = self._study.best()
            record = "" if best is None else f"  (best: trial {best[0]}, {best[1]:.4f})"
            self._console.print(
                f"trial {number}  {self._request.metric} {value:.4f}{record}", markup=False
            )
        write_json(self._request.workdir / RESULT, result(self._request, self._study))

    def _prune(self) -> None:
        """Ends trials whose first seed does worse than the median of the others did at that step."""
        for number, jobs in list(self._open.items()):
            curve = _curve(jobs[0], self._request.metric)
            if curve and not is_done(jobs[0]) and self._study.hopeless(number, curve):
                del self._open[number]
                self._study.prune(number)
                self._console.print(f"trial {number} pruned after step {max(curve)}", markup=False)
                for job in jobs:
                    self._controller.withdraw(job)

    def _told(self, what: str, job: Job, detail: str) -> None:
        if what in {"again", "held"}:
            self._console.print(f"{what}  {job.name}  {detail}", markup=False)


def result(request: Request, study: Study) -> dict[str, Any]:
    """The content of `search.json`."""
    best = study.best()
    trials = study.results()
    return {
        "format": 1,
        "config": request.file,
        "metric": request.metric,
        "judged_on": request.recipe.dataset.eval_split,
        "trained_on": request.recipe.dataset.split,
        "seeds": list(request.seeds),
        "space": {path: dimension.to_json() for path, dimension in request.space.items()},
        "best": None if best is None else trials[best[0]],
        "trials": trials,
        "how": {"command": command_line(), "written": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
    }


def _conclude(request: Request, study: Study, console: Console) -> None:
    write_json(request.workdir / RESULT, result(request, study))
    best = study.best()
    if best is None:
        console.print("no trial has ended well; what they printed is in their output.log")
        sys.exit(cli.FAILED)
    number, value = best
    overrides = study.overrides(number)
    console.print(
        f"\nbest: trial {number}, {request.metric} {value:.4f} on {request.recipe.dataset.eval_split}"
        f" (mean of {len(request.seeds)} seeds)",
        markup=False,
    )
    for path, chosen in overrides.items():
        console.print(f"  {path} = {chosen!r}", markup=False)
    flags = {**request.changed, **overrides}
    words = [f"--config={request.file}", *(f"--config.{p}={_flag(v)}" for p, v in flags.items())]
    console.print("to train with it on the whole training split, and measure it on the test split:")
    console.print(f"  python train.py {shlex.join(words)} --workdir=RUN", markup=False)


def _value(job: Job, metric: str) -> float:
    """The metric of the last evaluation, of the averaged weights where there are any."""
    summary = Summary.read(job.workdir)
    final = None if summary is None else deciding(summary.final)
    if final is None:
        raise UsageError(
            f"{job.workdir / SUMMARY} tells no result; delete it, and the run is evaluated again"
        )
    return float(final[metric])


def _curve(job: Job, metric: str) -> dict[int, float]:
    return deciding_curve(read_lines(job.workdir), metric)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flag(value: object) -> str:
    return str(value) if not isinstance(value, tuple) else repr(value).replace(" ", "")
