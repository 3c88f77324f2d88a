"""What a sweep shows while it runs: a table of its runs on a terminal, plain lines elsewhere."""

import contextlib
import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chanattn.duration import duration
from chanattn.runs.json_object import Damaged
from chanattn.runs.summary import Summary
from chanattn.streams import lasting_stdout
from chanattn.sweep.estimate import Progress, seconds_left
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.status import Status, status

_EVERY = 1.0  # seconds between two looks at the files
_PLAIN_EVERY = 60.0  # seconds between two reports without a terminal
_STYLES = {
    "running": "bold cyan",
    "starting": "cyan",
    "done": "green",
    "failed": "bold red",
    "stopped": "yellow",
}
_ORDER = (
    "running",
    "failed",
    "stopped",
    "done",
    "waiting",
)  # who stays where there is no room for all


def output() -> Console:
    """Standard output. The results lie in files, so a sweep goes on when nobody takes what it prints."""
    return Console(file=lasting_stdout(), soft_wrap=True, highlight=False, emoji=False)


class View:
    """Shows the runs of a sweep.

    Args:
        title: of the sweep.
        jobs: all runs wanted.
        total_steps: by variant.
        console: where to print; the terminal by default.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        title: str,
        jobs: Sequence[Job],
        total_steps: Mapping[str, int],
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._jobs, self._total = title, list(jobs), total_steps
        self._console = console or output()
        self._clock = clock
        self._took: dict[Job, float] = {}  # from the start of its worker to the end of it
        self._read()
        self._begun: dict[Job, tuple[float, int]] = {}  # when, from which step
        self._opened = clock()
        self._spent: defaultdict[str, float] = defaultdict(
            float
        )  # seconds, by what for, of the runs that were done meanwhile
        self._looked = self._reported = clock()
        self._most = 1
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._read()
        if self._live is not None:
            self._live.start()
            self._live.update(self.table(), refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._begun.clear()
        self._read()
        if self._live is not None:
            self._live.update(self.table())
            self._live.stop()
        else:
            self._console.print(self.summary(), markup=False)
        if self._spent:
            self._console.print(self.spent(), markup=False)

    def tell(self, what: str, job: Job, detail: str) -> None:
        """Prints what has happened to a run, see `Controller`."""
        begun = self._begun.pop(job, None)
        if what == "done" and begun is not None:
            self._took[job] = self._clock() - begun[0]
            self._count(job)
        self._statuses[job] = now = self._status(job)
        text = Text.assemble((what, _STYLES.get(what, "yellow")), f"  {job.name}")
        if what == "done":
            result = f"{now.metric.label} {_result(now)}  " if now.metric else ""
            text.append(f"  {result}{_seconds(now.seconds)}")
            detail = ""
        if detail:
            text.append(f"  {detail}")
        if self._live is None:
            text.append(f"  ({self.summary()})")
        elif what == "done":  # the table says it
            return
        self._console.print(text)

    def look(self, running: Sequence[Job]) -> None:
        """Shows how things stand; cheap enough to be called all the time."""
        now = self._clock()
        for job in running:
            if job not in self._begun:
                self._begun[job] = now, self._statuses[job].step
                if self._live is None:
                    self._console.print(f"running  {job.name}", markup=False)
        for job in set(self._begun) - set(running):
            del self._begun[job]
        self._most = max(self._most, len(running))
        if now - self._looked < _EVERY:
            return
        self._looked = now
        for job in running:
            self._statuses[job] = self._status(job)
        if self._live is not None:
            self._live.update(self.table(), refresh=True)
        elif now - self._reported >= _PLAIN_EVERY:
            self._reported = now
            for job in running:
                self._console.print(self._line(job), markup=False)
            self._console.print(self.summary(), markup=False)

    def summary(self) -> str:
        """`12 of 30 runs done, 2 running, 1 failed, 3:20 min left`."""
        counts = Counter(self._state(job) for job in self._jobs)
        parts = [f"{counts['done']} of {len(self._jobs)} runs done"]
        parts += [f"{counts[state]} {state}" for state in ("running", "failed") if counts[state]]
        left = seconds_left([self._progress(job) for job in self._jobs], self._most)
        if left:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def spent(self) -> str:
        """`time of 2 workers: training 61 %, starting 20 %, compiling 9 %, ... idle 2 %`."""
        busy = sum(self._spent.values())
        whole = max(busy, self._most * (self._clock() - self._opened))
        seconds = {**self._spent, "idle": whole - busy}
        ranked = sorted(seconds.items(), key=lambda spent: -spent[1])
        shares = [f"{what} {round(100 * took / whole)} %" for what, took in ranked if took > 0]
        workers = f"{self._most} worker{'s' if self._most > 1 else ''}"
        return f"time of {workers}: {', '.join(shares)}"

    def _count(self, job: Job) -> None:
        """Adds what a run's time was spent on; what it does not tell was its start and its end."""
        with contextlib.suppress(Damaged):
            summary = Summary.read(job.workdir)
            if summary is None or not summary.phases:  # of an earlier version
                return
            phases = summary.phases
            rest = max(0.0, self._took[job] - sum(phases.values()))
            for what, took in {**phases, "starting and finishing": rest}.items():
                self._spent[what] += took

    def table(self) -> RenderableType:
        """The runs, as many as the terminal has room for."""
        table = Table(title=Text(self._title), title_justify="left", box=None, padding=(0, 2, 0, 0))
        for heading, width in {"run": 0, "state": 8, "": 16}.items():
            table.add_column(heading, no_wrap=True, min_width=width)
        for heading, width in {"step": 0, "loss": 6, self._measured(): 8, "time": 8}.items():
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        shown = self._shown(max(4, self._console.height - 6))
        for job in shown:
            name, state, *rest = self._cells(job)
            bar = ProgressBar(self._total[job.variant], self._statuses[job].step, width=16)
            style = _STYLES.get(state, "dim")
            table.add_row(Text(name), Text(state, style), bar, *(Text(cell) for cell in rest))
        lines: list[RenderableType] = [table]
        hidden = Counter(self._state(job) for job in self._jobs if job not in set(shown))
        if hidden:
            listed = ", ".join(f"{hidden[state]} {state}" for state in _ORDER if hidden[state])
            lines.append(Text(f"... and {listed}", "dim"))
        return Group(*lines, Text(self.summary(), "bold"))

    def _read(self) -> None:
        self._statuses = {job: self._status(job) for job in self._jobs}

    def _status(self, job: Job) -> Status:
        """With the time of a run from the start of its worker: imports and compilation count."""
        now = status(job)
        if job not in self._took or now.seconds is None:
            return now
        return dataclasses.replace(now, seconds=max(now.seconds, self._took[job]))

    def _shown(self, room: int) -> list[Job]:
        """The runs that fit, in the order of the grid; those that matter least now are left out."""
        if len(self._jobs) <= room:
            return self._jobs
        rank = {job: _ORDER.index(self._state(job)) for job in self._jobs}
        kept = set(sorted(self._jobs, key=lambda job: rank[job])[: room - 1])
        return [job for job in self._jobs if job in kept]

    def _state(self, job: Job) -> str:
        return "running" if job in self._begun else self._statuses[job].state

    def _cells(self, job: Job) -> tuple[str, str, str, str, str, str]:
        """Name, state, step, loss, result, seconds."""
        now = self._statuses[job]
        elapsed = self._clock() - self._begun[job][0] if job in self._begun else now.seconds
        return (
            job.name,
            self._state(job) if now.step or job not in self._begun else "starting",
            f"{now.step}/{self._total[job.variant]}",
            "" if now.loss is None else f"{now.loss:.4f}",
            _result(now),
            _seconds(elapsed),
        )

    def _measured(self) -> str:
        """What the results are values of, as far as a run has told."""
        told = [now.metric.label for now in self._statuses.values() if now.metric]
        return told[0] if told else "result"

    def _line(self, job: Job) -> str:
        """The same for a log, where no heading stands above it."""
        name, state, step, loss, result, seconds = self._cells(job)
        metric = self._statuses[job].metric
        of = metric.label if metric else ""
        named = (("step", step), ("loss", loss), (of, result), ("after", seconds))
        return "  ".join([name, state, *(f"{what} {value}" for what, value in named if value)])

    def _progress(self, job: Job) -> Progress:
        now: Status = self._statuses[job]
        total = self._total[job.variant]
        if job not in self._begun:
            return Progress(job.variant, now, total)
        start, step = self._begun[job]
        return Progress(job.variant, now, total, self._clock() - start, step)


def _result(now: Status) -> str:
    return "" if now.result is None or now.metric is None else now.metric.shown(now.result)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
