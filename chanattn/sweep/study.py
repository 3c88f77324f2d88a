"""Optuna (https://optuna.org) behind three questions: what to try next, how it went, what was best.

The study lies in a file, and what is tried next depends on the seed, the number of the trial and the results
so far alone: a search that was killed goes on as if nothing had happened.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chanattn.config import FIELDS
from chanattn.errors import UsageError
from chanattn.sweep.request import SearchRequest
from chanattn.sweep.space import Dimension

try:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState
    from sqlalchemy.exc import DatabaseError  # Optuna stands on it
    from sqlalchemy.pool import NullPool
except ModuleNotFoundError as error:
    raise UsageError("--search needs Optuna: pip install -e '.[search]'") from error

optuna.logging.set_verbosity(optuna.logging.ERROR)  # the search says itself what happens

DATABASE = "search.db"
_NAME = "search"
_FIXED = "what"  # attribute of the study; the name lies in files


class Study:
    """A search under way.

    Raises:
        UsageError: its database is damaged, or holds another search; the message lists what differs.
    """

    def __init__(self, request: SearchRequest) -> None:
        self._space, self._seed = request.space, request.search_seed
        file = request.workdir / DATABASE
        with _one_line(file):
            self._study = optuna.create_study(
                storage=_storage(file),
                study_name=_NAME,
                direction="maximize" if request.metric.higher_is_better else "minimize",
                load_if_exists=True,
            )
        now = _through_json(request.fixed())
        if _FIXED not in self._study.user_attrs:
            self._study.set_user_attr(_FIXED, now)
        # A study of an earlier version lacks the fields of the config that came later.
        older = {path: field.older for path, field in FIELDS.items() if path in now}
        before = _through_json(older) | self._study.user_attrs[_FIXED]
        changes = [
            f"{name} {before.get(name)!r} -> {now.get(name)!r}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
        if changes:
            raise UsageError(
                f"{request.workdir} holds another search ({'; '.join(changes)}); choose another --workdir"
            )

    def __len__(self) -> int:
        """Number of trials, those that run among them."""
        return len(self._study.get_trials(deepcopy=False))

    def ask(self) -> int:
        """Begins a trial, and returns its number."""
        seed = np.random.SeedSequence([self._seed, len(self)]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        distributions = {path: _distribution(each) for path, each in self._space.items()}
        return self._study.ask(distributions).number

    def tell(self, number: int, state: str, value: float | None = None) -> None:
        """Ends a trial.

        Args:
            number: of the trial.
            state: "complete", "pruned" (its choice is a bad one) or "fail" (which says nothing about it).
            value: of a trial that is complete.
        """
        self._study.tell(number, value, TrialState[state.upper()])

    def running(self) -> list[int]:
        """Trials that have begun and not ended, oldest first.

        One that a killed process had begun without choosing all its values counts as failed from now on.
        """
        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.params.keys() == self._space.keys():
                found.append(trial.number)
            else:
                self.tell(trial.number, "fail")
        return found

    def trials(self) -> list[dict[str, Any]]:
        """All of them: `number`, `state` ("running", or see `tell`), `value`, `overrides` by dotted path."""
        return [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.state == TrialState.COMPLETE else None,
                "overrides": {
                    path: _chosen(dimension, trial.params[path])
                    for path, dimension in self._space.items()
                    if path in trial.params
                },
            }
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def best(self) -> dict[str, Any] | None:
        """The best of `trials`; None as long as none is complete."""
        try:
            number = self._study.best_trial.number
        except ValueError:
            return None
        return self.trials()[number]

    def lags(self, curve: Mapping[int, float], others: Iterable[Mapping[int, float]]) -> bool:
        """Whether Optuna's `MedianPruner` would stop a trial.

        Optuna's `Trial` alone can report values, and none outlives its process. So the values stay where the
        runs write them, and a study in memory holds them for the length of the question.

        Args:
            curve: the values of the trial so far, by step.
            others: those of the trials that are complete.
        """
        curves = optuna.create_study(
            direction=self._study.direction, pruner=optuna.pruners.MedianPruner()
        )
        for other in others:
            curves.add_trial(optuna.create_trial(value=0.0, intermediate_values=dict(other)))
        trial = curves.ask()
        for step, value in curve.items():
            trial.report(value, step)
        return trial.should_prune()


def _through_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from the database: tuples are lists there."""
    read: dict[str, Any] = json.loads(json.dumps(values))
    return read


def _storage(file: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage in a file of SQLite.

    SQLite opens the file itself: in an address, `?`, `#`, `%` and braces of a path would have a meaning. A
    connection lives as long as its transaction.
    """
    path = file.absolute()
    return optuna.storages.RDBStorage(
        "sqlite://",
        engine_kwargs={"creator": lambda: sqlite3.connect(path), "poolclass": NullPool},
    )


@contextlib.contextmanager
def _one_line(file: Path) -> Iterator[None]:
    """Turns what Optuna and its database raise about the file into one line."""
    try:
        yield
    except DatabaseError as error:
        raise UsageError(
            f"{file} cannot be read ({error.orig}); restore it, or choose another --workdir"
        ) from error
    except RuntimeError as error:  # of a version of Optuna whose tables are others
        raise UsageError(f"{file} is of another version of Optuna: {error}") from error


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if dimension.kind == "choice":
        return CategoricalDistribution([_stored(value) for value in dimension.values])
    kind = IntDistribution if dimension.kind.endswith("int") else FloatDistribution
    return kind(*dimension.values, log=dimension.kind.startswith("log"))


def _stored(value: Any) -> Any:
    """A choice as Optuna keeps it: tuples as their text."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _chosen(dimension: Dimension, stored: Any) -> Any:
    """The value that Optuna's stands for."""
    if dimension.kind != "choice":
        return stored
    return next(value for value in dimension.values if repr(_stored(value)) == repr(stored))
