"""What a training prints while it runs: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from chanattn.duration import duration
from chanattn.streams import lasting_stdout


class Progress:
    """Reports steps/s, images/s, metrics and the time that is left, as long as somebody listens.

    Rates and the time left are taken from the steps after the compilation, and without what runs
    inside `paused()` (evaluations, checkpoints).

    Args:
        total_steps: optimizer steps of the whole training.
        start_step: steps done before, by the run that this one continues.
        batch_size: images a step.
        enabled: False prints nothing (processes other than the first).
        console: where to print; the terminal by default.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int,
        batch_size: int,
        *,
        enabled: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_steps
        self._batch_size = batch_size
        self._clock = clock
        self._console = console or Console(
            file=lasting_stdout(),
            soft_wrap=True,
            highlight=False,
            emoji=False,
            quiet=not enabled,
        )
        self._paused = 0.0
        self._mark(start_step)
        self._measured_seconds = 0.0
        self._measured_steps = 0
        self._bar: Bar | None = None
        if enabled and self._console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.description}", markup=False),
                console=self._console,
            )
            self._task = self._bar.add_task("compiling", total=total_steps, completed=start_step)
            self._bar.start()

    def compiled(self, seconds: float, step: int | None = None) -> None:
        """Says how long the compilation took, and starts the clock, at `step` if given."""
        self.note(f"compiled in {seconds:.1f} s")
        self._mark(self._step if step is None else step)

    def go_back(self, step: int) -> None:
        """Starts the clock at a step, from which the training goes on in another way."""
        self._mark(step)
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def update(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Reports that `step` steps are done, with the `metrics` of the last ones.

        Returns:
            `steps_per_second` and `images_per_second` since the last update, if steps were done.
        """
        steps = step - self._step
        seconds = self._clock() - self._time - self._paused
        self._mark(step)
        rates: dict[str, float] = {}
        if steps > 0 and seconds > 0:
            self._measured_steps += steps
            self._measured_seconds += seconds
            rates = {
                "steps_per_second": steps / seconds,
                "images_per_second": steps * self._batch_size / seconds,
            }
        text = self._describe(step, metrics, rates)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=text)
        else:
            self._console.print(f"step {step}/{self._total}  {text}", markup=False)
        return rates

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the seconds of the block out of the rates."""
        start = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - start

    def note(self, text: str) -> None:
        """Prints a line of its own, above the bar where there is one."""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Takes the bar off its line."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _mark(self, step: int) -> None:
        self._step = step
        self._time = self._clock()
        self._paused = 0.0

    def _describe(self, step: int, metrics: Mapping[str, float], rates: Mapping[str, float]) -> str:
        parts = [f"{name} {value:.4g}" for name, value in metrics.items()]
        if rates:
            parts.append(f"{rates['steps_per_second']:.3g} steps/s")
            parts.append(f"{rates['images_per_second']:,.0f} images/s")
        if self._measured_steps:
            left = (self._total - step) * self._measured_seconds / self._measured_steps
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)
