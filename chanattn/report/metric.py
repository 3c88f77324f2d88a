"""Which number of the runs a report compares, and how it is shown."""

import dataclasses

from chanattn.errors import UsageError, did_you_mean
from chanattn.runs.metric import EARLIER, Metric, named
from chanattn.runs.metrics_log import AVERAGES, TEST
from chanattn.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric on a split: `test/top1` is `final.test.top1` of the summary.

    Attributes:
        split: "test", or "ema" for the moving average of the weights on the same examples.
        metric: what the runs say of it.
    """

    split: str
    metric: Metric

    def __str__(self) -> str:
        return f"{self.split}/{self.metric.name}"

    def final(self, run: Run) -> float | None:
        """The final value of a run, as it is shown; None unless the run is done and it is finite."""
        value = run.final(self.split, self.metric.name)
        return None if value is None else self.metric.factor * value

    def curve(self, run: Run) -> dict[int, float]:
        """{step: value} as it is shown."""
        points = run.curve(self.split, self.metric.name)
        return {step: self.metric.factor * value for step, value in points.items()}

    @property
    def name(self) -> str:
        """For people, without the unit: "test top-1 accuracy"."""
        split = "test, moving average of the weights," if self.split == AVERAGES else self.split
        return f"{split} {self.metric.label}"

    @property
    def label(self) -> str:
        """For axes and headings: "test top-1 accuracy (%)"."""
        return f"{self.name} ({self.metric.unit})" if self.metric.unit else self.name


def parse(text: str) -> tuple[str, str]:
    """Split and name of `split/name`.

    Raises:
        UsageError: the text is not of that form.
    """
    split, slash, name = text.partition("/")
    if not split or not slash or not name or "/" in name:
        raise UsageError(f"--metric={text} is not of the form SPLIT/NAME, such as test/top1")
    return split, name


def metrics_of(runs: list[Run]) -> tuple[Metric, ...]:
    """What runs of one recipe are measured by: the ones that are done say it, else those that have begun."""
    told = [run for run in runs if run.summary] or [run for run in runs if run.environment]
    return told[0].metrics if told else EARLIER


def usual(runs: list[Run]) -> Measure:
    """What is compared if nobody asks for something else: the metric that decides, on the test split."""
    return Measure(TEST, metrics_of(runs)[0])


def chosen(runs: list[Run], text: str, where: object) -> Measure:
    """What `--metric` asks for; `usual` if that is empty.

    Args:
        runs: of the sweep.
        text: `split/name`, or empty.
        where: the sweep, for the message.

    Raises:
        UsageError: the text is not of that form, or no finished run has such a value.
    """
    known = sorted({f"{split}/{name}" for run in runs for split, name in run.finals()})
    if text:
        split, name = parse(text)
        measure = Measure(split, named(metrics_of(runs), name))
    else:
        measure = usual(runs)
    if known and str(measure) not in known:
        raise UsageError(
            f"no finished run of {where} has the metric {str(measure)!r}; there are"
            f" {', '.join(known)}.{did_you_mean(str(measure), known)}"
        )
    return measure
