"""Runs that an earlier version began: what has changed since is said, or they are refused."""

import json
import shutil

import pytest
import small_runs

from chanattn import models, random_streams
from chanattn.errors import UsageError
from chanattn.training.config import changed_fields
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from chanattn.training.run_directory import read_config


def config_of(split, eval_split):
    config = small_runs.tiny_config()
    config.steps = config.checkpoint_every = config.eval_every = 2
    config.dataset.split, config.dataset.eval_split = split, eval_split
    return config


def make_older(run):
    """As if its config had been written before there was the field."""
    path = run / "config.json"
    values = json.loads(path.read_text())
    del values["dataset"]["allow_overlap"]
    path.write_text(json.dumps(values))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_net):
    """A run on a part, evaluated on the rest."""
    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "from_config", lambda *_: tiny_net(dropout=0.2))
        train_and_evaluate(config_of("train[:60%]", "train[60%:]"), run)
    return run


@pytest.fixture
def run(trained, tmp_path, tiny_runs):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_on_parts_that_were_other_pictures_is_neither_continued_nor_evaluated(run):
    config = config_of("train[:60%]", "train[60%:]")
    train_and_evaluate(config, run)
    make_older(run)
    assert changed_fields(read_config(run), config) == {}
    before = (run / "config.json").read_text()
    with pytest.raises(UsageError, match=r"train\[:60%\] was other pictures"):
        train_and_evaluate(config, run)
    assert (run / "config.json").read_text() == before
    with pytest.raises(UsageError, match=r"train\[60%:\] was other pictures"):
        evaluate_run(run)
    assert evaluate_run(run, **{"dataset.eval_split": "test"})["examples"] == 72


def test_a_run_on_whole_splits_is_continued_by_the_config_that_now_has_a_field_more(run, capsys):
    config = config_of("train", "test")
    shutil.rmtree(run)
    train_and_evaluate(config, run)
    make_older(run)
    train_and_evaluate(config, run)
    assert read_config(run).dataset.allow_overlap is False
    assert "other random numbers" not in "".join(capsys.readouterr())


def test_other_random_numbers_than_those_that_a_run_began_with_are_told(run, capsys, monkeypatch):
    monkeypatch.setattr(random_streams, "VERSION", random_streams.VERSION + 1)
    train_and_evaluate(config_of("train[:60%]", "train[60%:]"), run)
    assert "drew other random numbers from its seed" in "".join(capsys.readouterr())
