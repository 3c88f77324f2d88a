"""Optuna behind the search: what is tried depends on the seed, the number and the results alone."""

import math
import os
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.runs.metric import EARLIER, Metric
from chanattn.sweep.request import SearchRequest
from chanattn.sweep.space import space

optuna = pytest.importorskip("optuna", reason="the search extra is not installed")

from chanattn.sweep.study import Study  # noqa: E402

SPACE = space(
    {
        "optimizer.learning_rate": ("log_uniform", 0.001, 1.0),
        "model.attention.reduction": ("choice", [4, 8, 16]),
        "model.attention.stages": ("choice", [(1, 2), (3,)]),
        "batch_size": ("int", 8, 64),
    }
)


NETWORK = {"name": "resnet20", "attention": {"name": "identity"}}


def request(
    folder: Path, seed: int = 0, metric: Metric = EARLIER[0], **fields: object
) -> SearchRequest:
    return SearchRequest(
        file="recipe.py",
        recipe=ConfigDict({"seed": 0, "epochs": 3.0, "sizes": (1, 2), "model": NETWORK} | fields),
        changed={},
        seeds=(0,),
        workdir=folder,
        launcher="local",
        parallel=1,
        max_losses=0,
        stall=0.0,
        class_names=(),
        space=SPACE,
        trials=1,
        metric=metric,
        prune=False,
        search_seed=seed,
    )


def study(folder: Path, seed: int = 0, **changes: object) -> Study:
    return Study(request(folder, seed, **changes))


def height(overrides: dict) -> float:
    """A hill with its top at a learning rate of 0.1."""
    return -abs(math.log10(overrides["optimizer.learning_rate"]) + 1)


def explore(folder: Path, trials: int, seed: int = 0, *, reopen: bool = False) -> list[dict]:
    one = study(folder, seed)
    for _ in range(trials):
        number = one.ask()
        if reopen:  # as after kill -9
            one = study(folder, seed)
            assert one.running() == [number]
        one.tell(number, "complete", height(one.trials()[number]["overrides"]))
    return one.trials()


def test_a_search_that_is_killed_again_and_again_tries_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = explore(tmp_path / "a", 12)
    assert explore(tmp_path / "b", 12, reopen=True) == whole
    assert [trial["number"] for trial in whole] == list(range(12))


def test_choices_lie_in_the_space_with_their_types_and_depend_on_the_seed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chosen = [trial["overrides"] for trial in explore(tmp_path / "a", 8)]
    for each in chosen:
        assert list(each) == list(SPACE)
        assert 0.001 <= each["optimizer.learning_rate"] <= 1.0
        assert each["model.attention.reduction"] in (4, 8, 16)
        assert each["model.attention.stages"] in ((1, 2), (3,))
        assert 8 <= each["batch_size"] <= 64
        assert [type(value) for value in each.values()] == [float, int, tuple, int]
    assert len({each["optimizer.learning_rate"] for each in chosen}) == 8
    assert [trial["overrides"] for trial in explore(tmp_path / "b", 8, seed=1)] != chosen


def test_later_trials_learn_from_earlier_ones(tmp_path: Path) -> None:
    results = explore(tmp_path, 40)
    heights = [trial["value"] for trial in results]
    # Chance alone gives -5/6 on average: the mean of |x + 1| over x from -3 to 0, negated.
    assert sum(heights[20:]) / 20 > -0.6
    best = study(tmp_path).best()
    assert best is not None
    assert best["value"] == max(heights)


def test_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    study(tmp_path)
    with pytest.raises(UsageError, match=r"holds another search \(epochs 3.0 -> 4.0\)"):
        study(tmp_path, epochs=4.0)


def test_fields_that_came_later_are_as_earlier_versions_had_them(tmp_path: Path) -> None:
    study(tmp_path)
    later = {"model": NETWORK | {"head": ""}, "imports": (), "optimizer": {"new_option": None}}
    assert len(study(tmp_path, **later)) == 0
    with pytest.raises(UsageError, match=r"model.head '' -> 'fpn'\)"):
        study(tmp_path, **later | {"model": NETWORK | {"head": "fpn"}})


def test_a_trial_that_died_while_it_chose_counts_as_failed(tmp_path: Path) -> None:
    one = study(tmp_path)
    one._study.ask()  # a trial without a choice
    number = one.ask()
    assert one.running() == [number]
    assert [trial["state"] for trial in one.trials()] == ["fail", "running"]
    assert one.best() is None


def test_a_trial_below_the_median_of_the_others_is_hopeless(tmp_path: Path) -> None:
    one = study(tmp_path)
    others = [{10: value - 0.1, 20: value} for value in (0.7, 0.8, 0.9, 0.8, 0.9)]
    assert not one.lags({10: 0.2}, others[:4])  # too few to tell
    assert not one.lags({10: 0.75}, others)
    assert not one.lags({10: 0.72, 20: 0.75}, [*others[:2], {}, {}, {}])
    assert one.lags({10: 0.2}, others)
    assert one.lags({10: 0.75, 20: 0.78}, others)
    assert not one.lags({}, others)
    (tmp_path / "down").mkdir()
    down = study(tmp_path / "down", metric=EARLIER[2])
    assert not down.lags({10: 0.2}, others)
    assert down.lags({10: 0.85}, others)


@pytest.mark.parametrize("name", ["s?lr=1", "a#b%41", "{SCHEMA_VERSION}", "[x]*", "\u00e9 +&;'\""])
def test_the_database_lies_in_the_folder_that_was_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    explore(folder, 1)
    assert [path.name for path in folder.iterdir()] == ["search.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(study(folder)) == 1


def test_a_study_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/search.db"  # as versions before this wrote it
    storage = optuna.storages.RDBStorage(address)
    before = optuna.create_study(storage=storage, study_name="search", direction="maximize")
    before.set_user_attr("what", request(tmp_path).fixed())
    distributions = {
        "optimizer.learning_rate": optuna.distributions.FloatDistribution(0.001, 1.0, log=True),
        "model.attention.reduction": optuna.distributions.CategoricalDistribution([4, 8, 16]),
        "model.attention.stages": optuna.distributions.CategoricalDistribution(["(1, 2)", "(3,)"]),
        "batch_size": optuna.distributions.IntDistribution(8, 64),
    }
    for _ in range(2):
        before.ask(distributions).report(-2.0, step=10)
    before.tell(0, -1.0)
    storage.remove_session()
    storage.engine.dispose()
    one = study(tmp_path)
    assert one.running() == [1]
    best = one.best()
    assert best is not None
    assert (best["number"], best["value"]) == (0, -1.0)
    assert one.ask() == 2


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list files")
def test_no_connection_stays_open(tmp_path: Path) -> None:
    explore(tmp_path, 3, reopen=True)
    opened = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            opened.append(os.readlink(entry))
        except FileNotFoundError:  # the one that lists the others
            continue
    assert not [path for path in opened if path.startswith(str(tmp_path))]


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_text("no database, though as long as the head of one is " * 9)
    with pytest.raises(UsageError, match=r"search\.db cannot be read \(file is not a database\)"):
        study(tmp_path)
