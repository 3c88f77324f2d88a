"""One run directory, as far as its files can be read."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.class_names import read_classes
from chanattn.errors import UsageError
from chanattn.report.files import Damaged, number, read_json
from chanattn.report.metric import Metric

DONE, INCOMPLETE, FAILED, ABSENT = "done", "incomplete", "failed", "not started"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a sweep.

    Attributes:
        variant: its name.
        seed: its seed.
        directory: where it lies.
        state: "done" (there is a summary), "failed" (the sweep has noted that, or a file that tells its
            result is damaged), "incomplete" or "not started".
        problem: why it failed, one line; or which file beside its result is damaged.
        config: `config.json`, nested; None where it is absent or damaged.
        environment: `environment.json`, likewise.
        classes: names of the classes; None where the run does not tell them.
        summary: `summary.json`; empty unless the run is done.
    """

    variant: str
    seed: int
    directory: Path
    state: str
    problem: str
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    classes: tuple[str, ...] | None
    summary: dict[str, Any]

    @classmethod
    def read(cls, variant: str, seed: int, directory: Path) -> Self:
        """Reads what there is; damage is a `problem`, never an exception."""
        problems: list[str] = []
        summary = _read(directory / "summary.json", problems)
        config = _read(directory / "config.json", problems)
        state = DONE if summary is not None else ABSENT
        if problems:
            state = FAILED  # without config nobody knows what the result belongs to
        elif summary is not None and config is None:
            state = FAILED
            problems.append(f"{directory} has a summary.json but no config.json")
        elif summary is None and directory.is_dir():
            failure = _read(directory / "failed.json", problems)
            state = INCOMPLETE if failure is None and not problems else FAILED
            problems += [] if failure is None else [_reason(failure)]
        environment = _read(directory / "environment.json", problems)
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
            summary=summary if summary is not None and state == DONE else {},
        )

    @property
    def name(self) -> str:
        """`runs/se_r4/seed0`, for messages."""
        return "/".join(self.directory.parts[-3:])

    def metrics(self) -> list[Metric]:
        """What the summary has a final value of."""
        final = self.summary.get("final")
        if not isinstance(final, dict):
            return []
        return [
            Metric(split, name)
            for split, values in final.items()
            if isinstance(values, dict)
            for name, value in values.items()
            if number(value) is not None
        ]

    def final(self, metric: Metric) -> float | None:
        """The final value, in the metric's unit (per cent for a share); None unless done and finite."""
        values: Any = self.summary.get("final")
        for key in (metric.split, metric.name):
            values = values.get(key) if isinstance(values, dict) else None
        value = number(values)
        return None if value is None else metric.factor * value

    def value(self, field: str) -> float | None:
        """A number of the summary, such as "parameters" or "images_per_second"."""
        return number(self.summary.get(field))

    def curve(self, metric: Metric) -> dict[int, float]:
        """{step: value} from `metrics.jsonl`, in the metric's unit; lines that are no JSON are left out."""
        points = {}
        for line in logged(self.directory):
            step, value = line.get("step"), number(line.get(metric.name))
            if line.get("split") == metric.split and isinstance(step, int) and value is not None:
                points[step] = metric.factor * value
        return points

    def step(self) -> int:
        """The last step that was logged."""
        return max(
            (s for line in logged(self.directory) if isinstance(s := line.get("step"), int)),
            default=0,
        )


def logged(directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`, without those that are no JSON; none where there is no file."""
    try:
        text = (directory / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # the last one, half-written, or damage in the middle
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def by_value(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """{value: [keys that have it]}, in order; for "which runs differ"."""
    turned = defaultdict(list)
    for key, value in groups.items():
        turned[value].append(key)
    return dict(turned)


def _read(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except Damaged as error:
        problems.append(str(error))
        return None


def _reason(failure: Mapping[str, Any]) -> str:
    """The last line that a failed run has printed, or what its launcher says."""
    lines = failure.get("last_lines")
    if isinstance(lines, list) and lines:
        return str(lines[-1])
    return str(failure.get("detail") or f"exit code {failure.get('code')}")
