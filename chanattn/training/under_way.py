"""A training under way: the steps, and what happens between them."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from chanattn import random_streams
from chanattn.errors import NonFinite, Preempted, SaveFailed
from chanattn.runs.metrics_log import deciding
from chanattn.runs.per_class import PREFIX
from chanattn.training import nonfinite
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.experiment import Experiment
from chanattn.training.interrupt import Interrupt
from chanattn.training.metrics_log import MetricsLog
from chanattn.training.pace import Pace
from chanattn.training.progress import Progress
from chanattn.training.record import Record
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import ranked
from chanattn.training.state import TrainState, Window, at_hand, reported
from chanattn.training.worker_errors import WorkerErrors

# How far the host may run ahead of the device: enough to keep it busy, not so far that batches pile up in
# memory or that the answer to a signal is long in coming.
_CALLS_IN_FLIGHT = 2
# Steps, and batches of an evaluation, after which several processes ask each other whether one was told to
# stop.
_ASK_EVERY = 10


class UnderWay:
    """A training under way, from one state to the last step."""

    def __init__(
        self,
        experiment: Experiment,
        checkpoints: Checkpoints,
        record: Record,
        log: MetricsLog,
        progress: Progress,
        interrupt: Interrupt,
        workers: WorkerErrors,
        step: int,
        saved_step: int | None,
    ) -> None:
        config = experiment.config
        self._experiment, self._checkpoints, self._record = experiment, checkpoints, record
        self._log, self._progress = log, progress
        self._interrupt, self._workers = interrupt, workers
        self._policy = config.nonfinite.policy
        self._step = self._logged_step = step
        self._saved_step = saved_step
        self._log_every = experiment.every(config.log_every)
        self._eval_every = experiment.every(config.eval_every)
        self._save_every = experiment.every(config.checkpoint_every)
        self._evaluation = experiment.evaluation()
        self._train_step: Any = None

    def train(self, begin: Callable[[], TrainState]) -> Record:
        """Makes the steps that are left, and again those before a roll-back; returns what was achieved.

        Args:
            begin: waits for the state to begin with.
        """
        self._make_up_for_evaluation(begin)
        if self._step == 0 and self._policy == nonfinite.ROLLBACK:
            self._save(begin(), begin().window)  # there must always be something to go back to
        while self._step < self._experiment.total_steps:
            try:
                self._make_steps(begin)
            except NonFinite as error:
                if self._policy != nonfinite.ROLLBACK:
                    raise
                diverged = error.with_traceback(None)  # it would keep the bad state in memory
            else:
                break
            begin = at_hand(self._roll_back(diverged))
            self._make_up_for_evaluation(begin)
        return self._record

    def _make_steps(self, begin: Callable[[], TrainState]) -> None:
        """From a state to the end."""
        experiment = self._experiment
        seed = nonfinite.seed_after(experiment.config.seed, len(self._record.rollbacks))
        experiment.train.reseed(seed)
        feeds = experiment.train.feeds(self._step)
        feed = next(feeds)
        train_step = self._compile(feed).reseeded(seed)
        state = begin()
        window = state.window
        pace = Pace(_CALLS_IN_FLIGHT)
        try:
            while True:
                steps = min(pace.steps, self._steps_alike()) if train_step.repeats else 1
                state, window = train_step(state, feed, steps)
                self._step += steps
                pace.called(steps, window.first_bad_step)
                self._between_steps(state, window)
                if self._step == experiment.total_steps:
                    return
                feed = next(itertools.islice(feeds, steps - 1, None))
        except (NonFinite, Preempted, SaveFailed):
            raise
        except Exception as error:
            self._rescue(state, window, error)
            raise

    def _steps_alike(self) -> int:
        """Steps with the present feed until something is due."""
        intervals = (self._log_every, self._eval_every, self._save_every)
        return min(
            self._experiment.train.steps_alike(self._step),
            self._experiment.total_steps - self._step,
            *(every - self._step % every for every in intervals),
        )

    def _compile(self, feed: Any) -> Any:
        if self._train_step is None:
            self._stop_if_told_early()
            start = time.monotonic()
            with self._record.spending("compiling"):
                self._train_step = self._experiment.compiled_step(feed)
            self._progress.compiled(time.monotonic() - start)
            self._stop_if_told_early()
        return self._train_step

    def _stop_if_told_early(self) -> None:
        """Stops before the first step: what there is to save is saved, and compiling may take minutes."""
        if self._interrupt.received_anywhere():
            raise Preempted(
                f"stopped by {self._interrupt.name} before the first step of this process; the same command "
                "continues the run."
            )

    def _roll_back(self, diverged: NonFinite) -> TrainState:
        """The newest state that a run without interruptions has saved as well; the data get another order."""
        checkpoints, record = self._checkpoints, self._record
        limit, so_far = self._experiment.config.nonfinite.limit, len(record.rollbacks)
        if so_far >= limit:
            raise NonFinite(f"{diverged} The run went back {so_far} times.", diverged.step)
        template, every = self._experiment.abstract_state(), self._save_every
        restored, damaged = restore_newest(checkpoints, template, prefer_multiples_of=every)
        if restored is None:  # somebody has taken them away
            raise diverged
        state, values = restored
        record.add_damaged(damaged)
        self._record = record.rolled_back(values, diverged.step)
        self._step = self._saved_step = self._logged_step = step = values["step"]
        checkpoints.delete_after(step)
        self._log.go_back(step, evaluated=self._record.evaluated_step == step)
        self._progress.go_back(step)
        self._progress.note(
            f"WARNING: not finite since step {diverged.step}; back to step {step}, with the data in another "
            f"order ({so_far + 1} of {limit} times)"
        )
        return state

    def _between_steps(self, state: TrainState, window: Window) -> None:
        """Logs, stops, evaluates and saves where that is due; else costs nothing and waits for nothing."""
        self._workers.check()
        if self._due(self._log_every):
            self._report(window)
        if self._stop_requested(self._step):
            self._stop(state, window)
        if self._due(self._eval_every):
            self._check_finite(window)
            self._evaluate(state, window)
        if self._due(self._save_every) or self._is_among_best():
            self._save(state, window)

    def _stop(self, state: TrainState, window: Window) -> NoReturn:
        """Saves the state, and ends the process."""
        self._save(state, window)
        self._checkpoints.wait()
        raise Preempted(
            f"stopped by {self._interrupt.name} after step {self._step}, which is saved in "
            f"{self._checkpoints.directory}; the same command continues it."
        )

    def _rescue(self, state: TrainState, window: Window, error: Exception) -> None:
        """Saves what was trained before an error beside the steps, unless other processes may not have it."""
        if jax.process_count() > 1:
            return
        try:
            self._save(state, window)
            self._checkpoints.wait()
        except Exception as failure:  # the first one matters more, whatever this is
            error.add_note(f"step {self._step} could not be saved: {failure}")
        else:
            error.add_note(
                f"step {self._step} is saved in {self._checkpoints.directory}; the same command continues it."
            )

    def _due(self, every: int) -> bool:
        return self._step % every == 0 or self._step == self._experiment.total_steps

    def _is_among_best(self) -> bool:
        """Whether this step was just found to be one of those that `checkpoint.keep_best` wants."""
        scores, best = self._checkpoints.scores, self._checkpoints.retention.best
        return self._step in scores and self._step in ranked(scores, scores)[:best]

    def _stop_requested(self, count: int) -> bool:
        """Several processes stop at one step or batch, so they ask each other, at some of them."""
        if jax.process_count() == 1:
            return self._interrupt.received()
        return count % _ASK_EVERY == 0 and self._interrupt.received_anywhere()

    def _report(self, window: Window) -> None:
        self._check_finite(window)
        with self._progress.paused():
            self._checkpoints.raise_errors()
        means, experiment = window.means(), self._experiment
        metrics = {name: means[name] for name in reported(experiment.model, experiment.task)}
        if self._policy == nonfinite.SKIP:
            metrics["skipped_steps"] = int(window.skipped_steps)
        if self._policy == nonfinite.ROLLBACK:
            metrics["rollbacks"] = len(self._record.rollbacks)
        # Nothing was measured of them, for instance of objects in pictures without any.
        unmeasured = {
            name for name in experiment.task.monitored if math.isnan(metrics.get(name, 0.0))
        }
        rates = self._progress.update(
            self._step, {name: metrics[name] for name in metrics if name not in unmeasured}
        )
        images = (self._step - self._logged_step) * self._experiment.config.batch_size
        self._record.add_training(images, rates)
        self._logged_step = self._step
        epoch = self._step / self._experiment.train.steps_per_epoch
        self._log.write(self._step, "train", metrics | rates | {"epoch": epoch})

    def _check_finite(self, window: Window) -> None:
        nonfinite.check(window, self._experiment.config, self._last_saved)

    def _last_saved(self) -> int | None:
        self._checkpoints.wait()
        return self._checkpoints.latest()

    def _make_up_for_evaluation(self, begin: Callable[[], TrainState]) -> None:
        """Evaluates a restored state where that is due and a signal came before."""
        if self._step and self._due(self._eval_every) and self._record.evaluated_step < self._step:
            self._evaluate(begin(), begin().window)

    def _evaluate(self, state: TrainState, window: Window) -> None:
        """Measures raw and averaged weights side by side; if told to stop, the next process does instead."""
        weights = {"test": state.weights}
        if state.ema is not None:
            weights["ema"] = state.ema
        batches = itertools.count(1)
        results: dict[str, dict[str, float | None]] = {}
        per_class: dict[str, dict[str, Any]] = {}
        with self._progress.paused():
            for split, values in weights.items():
                found = self._evaluation(values, lambda: self._stop_requested(next(batches)))
                self._record.add_seconds("evaluating", self._evaluation.seconds)
                self._record.add_seconds("compiling", self._evaluation.compile_seconds)
                if found is None:
                    self._stop(state, window)
                scores = [metric.name for metric in self._experiment.task.metrics]
                results[split] = {name: found[name] for name in found if name in scores}
                per_class[split] = {n: v for n, v in found.items() if n.startswith(PREFIX)}
        decides = self._experiment.task.metrics[0]
        self._record.add_evaluation(self._step, results, decides, per_class)
        if (value := (deciding(results) or {}).get(decides.name)) is not None:
            self._checkpoints.scores[self._step] = decides.score(value)
        evaluated = self._experiment.config.dataset.eval_split
        names = {"test": evaluated, "ema": f"{evaluated}, averaged weights"}
        for split, metrics in results.items():
            self._log.write(self._step, split, metrics)
            told = {name: value for name, value in metrics.items() if value is not None}
            text = "  ".join(f"{name} {value:.4f}" for name, value in told.items())
            self._progress.note(f"step {self._step} {names[split]}:  {text}")

    def _save(self, state: TrainState, window: Window) -> None:
        if self._saved_step == self._step:
            return
        self._check_finite(window)
        with self._progress.paused(), self._record.spending("saving"):
            config = self._experiment.config
            self._checkpoints.save(
                state,
                {
                    "step": self._step,
                    "data": {
                        "seed": self._experiment.train.seed,
                        "next_batch": self._step,
                        "random_streams": random_streams.VERSION,
                    },
                    "record": self._record.to_json(),
                    "config": config.to_dict(),
                },
            )
        self._saved_step = self._step
