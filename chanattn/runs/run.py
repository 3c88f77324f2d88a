"""One run directory, as far as its files can be read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from chanattn.errors import UsageError
from chanattn.runs.classes import read_classes
from chanattn.runs.config import Config
from chanattn.runs.environment import Environment
from chanattn.runs.evaluation import VIEWS, Evaluation
from chanattn.runs.failure import Failure
from chanattn.runs.json_object import Damaged, number
from chanattn.runs.layout import CONFIG, EVALUATION, SAMPLES, SUMMARY
from chanattn.runs.metric import EARLIER, Metric
from chanattn.runs.metrics_log import AVERAGES, curve, readable_lines
from chanattn.runs.per_class import OfClasses, per_class
from chanattn.runs.summary import Summary

DONE, INCOMPLETE, FAILED, ABSENT = "done", "incomplete", "failed", "not started"

_File = TypeVar("_File")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a sweep, or one alone.

    Attributes:
        variant: its name.
        seed: its seed.
        directory: where it lies.
        state: "done" (there is a summary), "failed" (the sweep has noted that, or a file that tells its
            result is damaged), "incomplete" or "not started".
        problem: why it failed, one line; or which file beside its result is damaged.
        config: `config.json`; None where it is absent or damaged.
        environment: `environment.json`, likewise.
        classes: names of the classes; None where the run does not tell them.
        summary: `summary.json`; None unless the run is done.
    """

    variant: str
    seed: int
    directory: Path
    state: str
    problem: str
    config: Config | None
    environment: Environment | None
    classes: tuple[str, ...] | None
    summary: Summary | None

    @classmethod
    def read(cls, variant: str, seed: int, directory: Path) -> Self:
        """Reads what there is; damage is a `problem`, never an exception."""
        problems: list[str] = []
        summary = _read(Summary.read, directory, problems)
        config = _read(Config.read, directory, problems)
        state = DONE if summary is not None else ABSENT
        if problems:
            state = FAILED  # without config nobody knows what the result belongs to
        elif summary is not None and config is None:
            state = FAILED
            problems.append(f"{directory} has a {SUMMARY} but no {CONFIG}")
        elif summary is None and directory.is_dir():
            failure = _read(Failure.read, directory, problems)
            state = INCOMPLETE if failure is None and not problems else FAILED
            problems += [] if failure is None else [failure.reason]
        environment = _read(Environment.read, directory, problems)
        try:
            classes = read_classes(directory)
        except UsageError as error:
            classes = None
            problems.append(str(error))
        return cls(
            variant=variant,
            seed=seed,
            directory=directory,
            state=state,
            problem="; ".join(problems),
            config=config,
            environment=environment,
            classes=classes,
            summary=summary if state == DONE else None,
        )

    @property
    def name(self) -> str:
        """`runs/se_r4/seed0`, for messages."""
        return "/".join(self.directory.parts[-3:])

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Of its task, the one that decides what is best first."""
        told = self.summary or self.environment
        return EARLIER if told is None else told.metrics

    def fields(self) -> dict[str, Any]:
        """The config by dotted path; empty where there is none."""
        return {} if self.config is None else self.config.fields()

    def finals(self) -> list[tuple[str, str]]:
        """Split and name of every metric that the summary has a final value of."""
        final = {} if self.summary is None else self.summary.final
        return [
            (split, name)
            for split, values in final.items()
            for name, value in values.items()
            if number(value) is not None
        ]

    def final(self, split: str, name: str) -> float | None:
        """The final value of a metric; None unless done and finite."""
        return None if self.summary is None else self.summary.value(split, name)

    def value(self, field: str) -> float | None:
        """A number of the summary, such as "parameters" or "images_per_second"."""
        return None if self.summary is None else number(getattr(self.summary, field))

    def per_class(self, split: str) -> dict[str, OfClasses]:
        """What is known of every class at the end of the training, by NAME (`chanattn.runs.per_class`).

        Where the summary does not tell, an evaluation afterwards does: of the whole pictures, of the same
        weights on the same examples.
        """
        if self.summary is None:
            return {}
        found = per_class(self.summary.per_class.get(split, {}))
        if found:
            return found
        for path in sorted((self.directory / EVALUATION).glob("*.json")):
            try:
                evaluation = Evaluation.read(path)
            except Damaged:
                continue
            if self._measures_the_end(evaluation, split):
                return per_class(evaluation.results)
        return {}

    def _measures_the_end(self, evaluation: Evaluation, split: str) -> bool:
        fields, steps = self.fields(), None if self.summary is None else self.summary.steps
        return (
            (evaluation.step, evaluation.weights) == (steps, "ema" if split == AVERAGES else "raw")
            and evaluation.dataset == fields.get("dataset.name")
            and evaluation.split == fields.get("dataset.eval_split")
            and not VIEWS & evaluation.how.keys()
        )

    def pictures_of_an_evaluation(self) -> list[Path]:
        """Those of the newest evaluation that is drawn: of curves, classes and confusions what there is."""
        drawn = {}
        for path in (self.directory / EVALUATION).glob("*.json"):
            names = (f"{path.stem}{ending}.png" for ending in ("-precision", "-classes", ""))
            if files := [file for name in names if (file := path.with_name(name)).is_file()]:
                drawn[path.name] = files
        if not drawn:
            return []
        return drawn[max(drawn, key=lambda name: (len(name), name))]  # step 900 before 1000

    def samples(self) -> list[Path]:
        """`samples.png`, if it has been drawn."""
        path = self.directory / SAMPLES
        return [path] if path.is_file() else []

    def pictures_of_evaluations(self) -> list[Path]:
        """What has been drawn beside `evaluation/<name>.json`, by name."""
        return sorted((self.directory / EVALUATION).glob("*.png"))

    def curve(self, split: str, name: str) -> dict[int, float]:
        """{step: value} of a metric from `metrics.jsonl`; lines that cannot be read are left out."""
        return curve(readable_lines(self.directory), split, name)

    def step(self) -> int:
        """The last step that was logged."""
        return max((line.step for line in readable_lines(self.directory)), default=0)


def metrics_of(directory: Path) -> tuple[Metric, ...]:
    """The metrics of a run that is done or under way, the one that decides first.

    `EARLIER` where no file names them, or none can be read: who needs those files will say so.
    """
    for read in (Summary.read, Environment.read):
        try:
            told = read(directory)
        except Damaged:
            continue
        if told is not None:
            return told.metrics
    return EARLIER


def _read(
    reader: Callable[[Path], _File | None], directory: Path, problems: list[str]
) -> _File | None:
    try:
        return reader(directory)
    except Damaged as error:
        problems.append(str(error))
        return None
