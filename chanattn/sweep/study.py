"""Optuna (https://optuna.org) behind three questions: what to try next, how it went, what was best.

The study lies in a file, and what is tried next depends on the seed, the number of the trial and the results
so far alone: a search that was killed goes on as if nothing had happened.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chanattn.errors import UsageError
from chanattn.sweep.space import Dimension, Space

_NAME = "search"
_WHAT = "what"  # attribute of the study: all that must not change in it


class Study:
    """A search under way.

    Args:
        file: its database, made if absent.
        space: what may be chosen.
        what: all that makes trials comparable (recipe, seeds, metric, ...), as JSON values by name.
        maximize: whether a higher value is better.
        seed: of the choices.

    Raises:
        UsageError: Optuna is missing, the file is damaged, or it holds another search; the message lists what
            differs.
    """

    def __init__(
        self, file: Path, space: Space, what: Mapping[str, Any], *, maximize: bool, seed: int
    ) -> None:
        self._optuna = _optuna()
        self._space, self._seed = space, seed
        self._distributions = {
            path: _distribution(self._optuna, dimension) for path, dimension in space.items()
        }
        with _one_line(file):
            self._storage = _storage(self._optuna, file)
            self._study = self._optuna.create_study(
                storage=self._storage,
                study_name=_NAME,
                direction="maximize" if maximize else "minimize",
                pruner=self._optuna.pruners.MedianPruner(),
                load_if_exists=True,
            )
        self._check_same(file, json.loads(json.dumps(what)))

    def __len__(self) -> int:
        """Number of trials, those that run among them."""
        return len(self._study.get_trials(deepcopy=False))

    def ask(self) -> int:
        """Begins a trial, and returns its number."""
        number = len(self)
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        return int(self._study.ask(self._distributions).number)

    def running(self) -> list[int]:
        """Trials that have begun and not ended, oldest first.

        One that a killed process had begun without choosing all its values counts as failed from now on.
        """
        states = self._optuna.trial.TrialState
        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if set(trial.params) == set(self._space):
                found.append(int(trial.number))
            else:
                self.fail(trial.number)
        return found

    def overrides(self, number: int) -> dict[str, Any]:
        """What a trial has chosen, by dotted path."""
        params = self._trial(number).params
        return {path: _chosen(self._space[path], params[path]) for path in self._space}

    def tell(self, number: int, value: float) -> None:
        """Ends a trial with its value."""
        self._study.tell(number, value)

    def fail(self, number: int) -> None:
        """Ends a trial that says nothing about its choice."""
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def prune(self, number: int) -> None:
        """Ends a trial whose choice is a bad one, without a value."""
        self._study.tell(number, state=self._optuna.trial.TrialState.PRUNED)

    def hopeless(self, number: int, curve: Mapping[int, float]) -> bool:
        """Notes a trial's values by step, and tells whether it lags behind the median of the others."""
        known = self._trial(number).intermediate_values
        study = self._storage.get_study_id_from_name(_NAME)
        trial = self._optuna.trial.Trial(
            self._study, self._storage.get_trial_id_from_study_id_trial_number(study, number)
        )
        for step, value in curve.items():
            if step not in known:
                trial.report(value, step)
        return bool(trial.should_prune())

    def results(self) -> list[dict[str, Any]]:
        """All trials: `number`, `state` ("complete", "running", "fail", "pruned"), `value`, `overrides`."""
        return [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.state.name == "COMPLETE" else None,
                "overrides": {
                    path: _chosen(self._space[path], value) for path, value in trial.params.items()
                },
            }
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def best(self) -> tuple[int, float] | None:
        """Number and value of the best trial; None as long as none is complete."""
        complete = (self._optuna.trial.TrialState.COMPLETE,)
        if not self._study.get_trials(deepcopy=False, states=complete):
            return None
        trial = self._study.best_trial
        return int(trial.number), float(trial.value)

    def _trial(self, number: int) -> Any:
        return self._study.get_trials(deepcopy=False)[number]

    def _check_same(self, file: Path, what: Mapping[str, Any]) -> None:
        before = self._study.user_attrs.get(_WHAT)
        if before is None:
            self._study.set_user_attr(_WHAT, what)
            return
        changes = [
            f"{name} {before.get(name)!r} -> {what.get(name)!r}"
            for name in {**before, **what}
            if before.get(name) != what.get(name)
        ]
        if changes:
            raise UsageError(
                f"{file.parent} holds another search ({'; '.join(changes)}); choose another --workdir"
            )


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UsageError("--search needs Optuna: pip install -e '.[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the search says itself what happens
    return optuna


def _storage(optuna: Any, file: Path) -> Any:
    """Optuna's storage in a file of SQLite.

    SQLite opens the file itself: in an address, `?`, `#`, `%` and braces of a path would have a meaning. A
    connection lives as long as its transaction.
    """
    from sqlalchemy.pool import NullPool  # Optuna stands on it

    path = file.absolute()
    return optuna.storages.RDBStorage(
        "sqlite://",
        engine_kwargs={"creator": lambda: sqlite3.connect(path), "poolclass": NullPool},
    )


@contextlib.contextmanager
def _one_line(file: Path) -> Iterator[None]:
    """Turns what Optuna and its database raise about the file into one line."""
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except DatabaseError as error:
        raise UsageError(
            f"{file} cannot be read ({error.orig}); restore it, or choose another --workdir"
        ) from error
    except RuntimeError as error:  # of a version of Optuna whose tables are others
        raise UsageError(f"{file} is of another version of Optuna: {error}") from error


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return optuna.distributions.CategoricalDistribution(
            [_stored(value) for value in dimension.values]
        )
    low, high = dimension.values
    log = dimension.kind.startswith("log")
    if dimension.kind.endswith("int"):
        return optuna.distributions.IntDistribution(low, high, log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)


def _stored(value: Any) -> Any:
    """A choice as Optuna keeps it: tuples as their text."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _chosen(dimension: Dimension, stored: Any) -> Any:
    """The value that Optuna's stands for; what it keeps as JSON may have lost its type."""
    if dimension.kind == "choice":
        return next(value for value in dimension.values if repr(_stored(value)) == repr(stored))
    return int(stored) if dimension.kind.endswith("int") else float(stored)
