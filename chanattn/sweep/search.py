"""The course of a search for hyper-parameters, from a space to the best trial.

    SWEEP/search.db                     Optuna's study        SWEEP/search.json   all trials, the best one
    SWEEP/jobs/trial_0007/seed0.json    its config            SWEEP/runs/trial_0007/seed0/   its run

A trial is one choice, trained with every seed; `python -m chanattn.sweep --search` makes them.
"""

import functools
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from chanattn import cli
from chanattn.errors import Preempted, UsageError
from chanattn.files import write_json, write_text
from chanattn.runs.json_object import number as finite
from chanattn.runs.layout import INDEX, SUMMARY
from chanattn.runs.metrics_log import deciding, deciding_curve, read_lines
from chanattn.runs.summary import Summary
from chanattn.sweep import store
from chanattn.sweep.controller import Controller
from chanattn.sweep.ending import Interrupt, closing
from chanattn.sweep.grid import job_config
from chanattn.sweep.launchers.base import Job, Launcher
from chanattn.sweep.machine import places
from chanattn.sweep.request import SearchRequest
from chanattn.sweep.status import failure, is_done
from chanattn.sweep.study import DATABASE, Study
from chanattn.sweep.view import output
from chanattn.training.config import to_json
from chanattn.training.lock import hold
from chanattn.training.run_directory import command_line

RESULT = "search.json"
_LOOK = 2.0  # seconds between two looks at the curves of running trials


def search(request: SearchRequest) -> None:
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
        study = Study(request)
        trials = [job.variant for number in range(len(study)) for job in request.jobs(number)]
        store.check_classes(folder, dict.fromkeys(trials, request.class_names))
        with Interrupt() as interrupt:
            launcher = request.launch()
            with closing(launcher, console):
                complete = _Search(request, study, launcher, console).run(interrupt.received)
        if not complete:
            raise Preempted(f"stopped by {interrupt.name}; the same command continues the search.")
        _conclude(request, study, console)


class _Search:
    """Keeps so many trials going until there have been enough."""

    def __init__(
        self, request: SearchRequest, study: Study, launcher: Launcher, console: Console
    ) -> None:
        self._request, self._study, self._console = request, study, console
        self._controller = Controller(
            (), launcher, self._told, max_losses=request.max_losses, stall=request.stall
        )
        runs = request.parallel or len(places(request.recipe.platform))
        self._at_a_time = max(1, runs // len(request.seeds))
        self._open: dict[int, list[Job]] = {}
        self._looked = 0.0
        self._whole_curve = functools.cache(self._curve)

    def run(self, stop: Callable[[], bool]) -> bool:
        """Whether all trials were made; False after `stop`."""
        for number in self._study.running():
            self._print(f"trial {number} goes on")
            self._begin(number)
        self._look()
        return self._controller.run(stop, self._look)

    def _look(self) -> None:
        """Ends the trials whose runs have ended, and begins new ones in their place."""
        for number, jobs in list(self._open.items()):
            failures = [noted for job in jobs if (noted := failure(job)) is not None]
            if failures:
                reason = failures[0].reason
                # Where training diverges is nowhere to look further; a full disk says nothing of the choice.
                self._study.tell(number, "pruned" if "is not finite" in reason else "fail")
                self._end(number, f" failed: {reason}")
            elif all(map(is_done, jobs)):
                values = [_value(job, self._request.metric.name) for job in jobs]
                measured = [value for value in values if value is not None]
                if len(measured) < len(values):
                    self._study.tell(number, "fail")
                    self._end(number, f" failed: {self._request.metric.name} could not be measured")
                    continue
                value = sum(measured) / len(measured)
                self._study.tell(number, "complete", value)
                best = self._study.best()
                assert best is not None
                record = f"(best: trial {best['number']}, {best['value']:.4f})"
                self._end(number, f"  {self._request.metric.name} {value:.4f}  {record}")
        if self._request.prune and time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            self._prune()
        while len(self._open) < self._at_a_time and len(self._study) < self._request.trials:
            self._begin(self._study.ask())

    def _begin(self, number: int) -> None:
        overrides = self._study.trials()[number]["overrides"]
        shown = "  ".join(f"{path}={_short(value)}" for path, value in overrides.items())
        self._print(f"trial {number}  {shown}")
        self._open[number] = self._request.jobs(number)
        for job in self._open[number]:
            if not job.config.exists():
                job.config.parent.mkdir(parents=True, exist_ok=True)
                write_text(
                    job.config, to_json(job_config(self._request.recipe, overrides, job.seed))
                )
        for job in self._open[number]:
            self._controller.add(job)

    def _end(self, number: int, how: str) -> None:
        """Gives up what a trial that has ended still computes, and keeps the result."""
        for job in self._open.pop(number):
            self._controller.withdraw(job)
        self._print(f"trial {number}{how}")
        write_json(self._request.workdir / RESULT, result(self._request, self._study))

    def _prune(self) -> None:
        """Ends trials whose first seed does worse than the median of the others did at that step."""
        others = [
            self._whole_curve(trial["number"])
            for trial in self._study.trials()
            if trial["state"] == "complete"
        ]
        for number, jobs in list(self._open.items()):
            curve = self._curve(number)
            if curve and not is_done(jobs[0]) and self._study.lags(curve, others):
                self._study.tell(number, "pruned")
                self._end(number, f" pruned after step {max(curve)}")

    def _curve(self, number: int) -> dict[int, float]:
        """The metric of a trial's first seed by step."""
        lines = read_lines(self._request.jobs(number)[0].workdir)
        return deciding_curve(lines, self._request.metric.name)

    def _told(self, what: str, job: Job, detail: str) -> None:
        if what in {"again", "held"}:
            self._print(f"{what}  {job.name}  {detail}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False)


def result(request: SearchRequest, study: Study) -> dict[str, Any]:
    """The content of `search.json`."""
    return {
        "format": 1,
        "config": request.file,
        "metric": request.metric.name,
        "judged_on": request.recipe.dataset.eval_split,
        "trained_on": request.recipe.dataset.split,
        "seeds": list(request.seeds),
        "space": {path: dimension.to_json() for path, dimension in request.space.items()},
        "best": study.best(),
        "trials": study.trials(),
        "how": {"command": command_line(), "written": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
    }


def _conclude(request: SearchRequest, study: Study, console: Console) -> None:
    write_json(request.workdir / RESULT, result(request, study))
    best = study.best()
    if best is None:
        console.print("no trial has ended well; what they printed is in their output.log")
        sys.exit(cli.FAILED)
    console.print(
        f"\nbest: trial {best['number']}, {request.metric.name} {best['value']:.4f}"
        f" on {request.recipe.dataset.eval_split} (mean of {len(request.seeds)} seeds)",
        markup=False,
    )
    for path, chosen in best["overrides"].items():
        console.print(f"  {path} = {chosen!r}", markup=False)
    values = {path: now for path, (_, now) in request.changed.items()} | best["overrides"]
    words = [f"--config={request.file}", *(f"--config.{p}={_flag(v)}" for p, v in values.items())]
    console.print("to train with it on the whole training split, and measure it on the test split:")
    console.print(f"  python train.py {shlex.join(words)} --workdir=RUN", markup=False)


def _value(job: Job, metric: str) -> float | None:
    """The metric of the last evaluation, of the averaged weights where there are any; None: not measured."""
    summary = Summary.read(job.workdir)
    final = None if summary is None else deciding(summary.final)
    if final is None:
        raise UsageError(
            f"{job.workdir / SUMMARY} tells no result; delete it, and the run is evaluated again"
        )
    return finite(final.get(metric))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flag(value: object) -> str:
    return str(value) if not isinstance(value, tuple) else repr(value).replace(" ", "")
