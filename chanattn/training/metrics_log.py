"""`metrics.jsonl`, the truth about a run, and its views: TensorBoard and Weights & Biases.

Its format is that of `chanattn.runs.metrics_log`.
"""

import contextlib
import json
import math
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import jax
from ml_collections import ConfigDict

from chanattn.errors import RunFailed, UsageError
from chanattn.files import write_text
from chanattn.runs.layout import METRICS
from chanattn.runs.metrics_log import TRAIN, Line, deciding_curve, read_lines
from chanattn.runs.run import metrics_of
from chanattn.streams import say


def read_scores(workdir: str | os.PathLike[str], last_step: int | None = None) -> dict[int, float]:
    """How good a run was at its evaluations, by step, in its first metric: of the averages where it has them.

    Args:
        workdir: the run directory.
        last_step: steps behind it are left out; None: none is.

    Returns:
        Scores of which the higher is better, whichever way the metric points.
    """
    metric = metrics_of(Path(workdir))[0]
    lines = [line for line in read_lines(workdir) if last_step is None or line.step <= last_step]
    values = deciding_curve(lines, metric.name)
    return {step: metric.score(value) for step, value in values.items()}


def check_views(config: ConfigDict) -> None:
    """Refuses a view that cannot be opened; writes nothing.

    Raises:
        UsageError: Weights & Biases is not installed, or it lets this machine not in.
    """
    if not config.logging.wandb_project:
        return
    try:
        import wandb
    except ImportError as error:
        raise UsageError(
            "logging.wandb_project needs Weights & Biases, which is not installed:"
            " pip install -e '.[wandb]'"
        ) from error
    try:
        wandb.login()  # asks for a key only at a terminal, and for nothing with WANDB_MODE=offline
    except (wandb.Error, ValueError) as error:
        raise UsageError(_no_access(error)) from error


def _no_access(error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"Weights & Biases cannot be used ({reason}); run `wandb login`, set WANDB_MODE=offline, or leave"
        " logging.wandb_project empty"
    )


class MetricsLog:
    """Writes metrics of one run; in a run of several processes only the first one writes.

    Args:
        workdir: the run directory, which exists.
        config: the run's config; `config.logging` chooses the views.
        resume_step: the step that the run continues from, 0 for a new one. Lines of later steps,
            which a killed process wrote and which will be written again, are dropped.
        evaluated: whether the state that it continues from has been evaluated; else lines of an evaluation at
            that step are dropped as well, because it will be made again.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        config: ConfigDict,
        resume_step: int = 0,
        *,
        evaluated: bool = True,
    ) -> None:
        self._workdir, self._config = Path(workdir), config
        self._views: list[_TensorBoard | _WeightsAndBiases] = []
        self._file: TextIO | None = None
        try:
            self._open(resume_step, evaluated)
        except BaseException:
            self.close()
            raise

    def _open(self, step: int, evaluated: bool) -> None:
        if jax.process_index() != 0:
            return
        path = self._workdir / METRICS
        kept = [
            line
            for line in read_lines(self._workdir)
            if line.step < step or (line.step == step and (evaluated or line.split == TRAIN))
        ]
        write_text(path, "".join(json.dumps(line.to_json()) + "\n" for line in kept))
        # A line is on its way as soon as it is complete.
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._views = []
        if self._config.logging.tensorboard:
            self._views.append(_TensorBoard(self._workdir, step))
        if self._config.logging.wandb_project:
            self._views.append(_WeightsAndBiases(self._workdir, self._config))

    def go_back(self, step: int, *, evaluated: bool = True) -> None:
        """Drops the lines behind a step, as at a start: the run takes another way from there."""
        self.close()
        self._open(step, evaluated)

    def write(self, step: int, split: str, metrics: Mapping[str, float | None]) -> None:
        """Adds one line: the `metrics` of `split` ("train", "test", "ema") after `step` steps.

        A value is None, as one that is not finite, where there was nothing to measure.

        Raises:
            RunFailed: it cannot be written, or not where it would be looked for.
        """
        if self._file is None:
            return
        values = {name: float(value) for name, value in metrics.items() if value is not None}
        finite = {
            name: values[name] if math.isfinite(values.get(name, math.nan)) else None
            for name in metrics
        }
        line = Line(int(step), split, {"time": round(time.time(), 3), **finite})
        path = self._workdir / METRICS
        try:
            self._file.write(json.dumps(line.to_json()) + "\n")
            in_place = os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            in_place = False
        except OSError as error:
            raise RunFailed(f"{path} could not be written ({error.strerror})") from error
        if not in_place:
            raise RunFailed(f"{path} was moved, removed or replaced while it was written to")
        for view in self._views:
            view.write(int(step), split, {n: v for n, v in finite.items() if v is not None})

    def close(self) -> None:
        """Flushes and closes the file and its views; what goes wrong here is lost to the views alone."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a line that could not be written has raised before
                self._file.close()
        for view in self._views:
            try:
                view.close()
            except Exception as error:  # a library's, which may raise anything
                say(f"warning: {view.name} may lack the last metrics ({error}); {METRICS} has all")


_QUEUE = 100_000  # values


class _TensorBoard:
    """Event files in `RUN/tensorboard`; those behind the step resumed from are hidden.

    They are written by a thread. If it dies, nobody empties its queue, and `write` would wait at a short one.
    """

    name = "TensorBoard"

    def __init__(self, workdir: Path, resume_step: int) -> None:
        from tensorboardX import SummaryWriter

        purge_step = resume_step + 1 if resume_step else None
        self._writer = SummaryWriter(
            str(workdir / "tensorboard"), purge_step=purge_step, max_queue=_QUEUE
        )

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"{name}/{split}", value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """A Weights & Biases run, continued under the same identifier when the training is."""

    name = "Weights & Biases"

    def __init__(self, workdir: Path, config: ConfigDict) -> None:
        import wandb

        identifier = workdir / "wandb_run_id"
        if not identifier.exists():
            write_text(identifier, secrets.token_hex(8))
        try:
            self._run = wandb.init(
                project=config.logging.wandb_project,
                id=identifier.read_text(encoding="utf-8"),
                resume="allow",
                name=workdir.resolve().name,
                dir=str(workdir),
                config=config.to_dict(),
            )
        except (wandb.Error, ValueError) as error:
            raise UsageError(_no_access(error)) from error

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        self._run.log({f"{split}/{name}": value for name, value in metrics.items()}, step=step)

    def close(self) -> None:
        self._run.finish()
