"""Runs that share what a process has read and compiled end as in processes of their own, to the bit."""

import json

import pytest
from small_runs import outcome, tiny_config

from chanattn.training.experiment import Experiment
from chanattn.training.loop import train_and_evaluate
from chanattn.training.reuse import Reuse

pytestmark = pytest.mark.usefixtures("tiny_runs")


def config(seed, rate):
    c = tiny_config(log_every=2, eval_every=2, checkpoint_every=4, seed=seed)
    c.steps, c.ema.decay, c.optimizer.learning_rate = 4, 0.9, rate
    return c


def test_seeds_and_variants_in_turns_give_the_numbers_of_runs_alone(tmp_path, monkeypatch):
    traced = []
    original = Experiment.train_step
    monkeypatch.setattr(
        Experiment, "train_step", lambda self: traced.append(self.config.seed) or original(self)
    )
    reuse = Reuse()
    # The second variant has the pictures of the first, and the other way round.
    runs = {(seed, rate): config(seed, rate) for seed in (0, 1, 2) for rate in (0.1, 0.2)}
    for (seed, rate), c in runs.items():
        train_and_evaluate(c, tmp_path / f"shared-{seed}-{rate}", build=reuse)
    assert traced == [0, 0]  # one program a variant
    for seed, rate in ((1, 0.1), (2, 0.2)):
        alone = tmp_path / f"alone-{seed}-{rate}"
        train_and_evaluate(runs[seed, rate], alone)
        assert outcome(alone) == outcome(tmp_path / f"shared-{seed}-{rate}")
    assert outcome(tmp_path / "shared-0-0.1") != outcome(tmp_path / "shared-1-0.1")


def test_of_pictures_that_give_way_to_others_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("chanattn.training.reuse._MOST_DATA", 1)
    reuse = Reuse()
    for number, crop in enumerate((0, 2, 0)):
        c = config(number, 0.1)
        c.dataset.augment.pad_crop = crop
        train_and_evaluate(c, tmp_path / str(number), build=reuse)
        assert len(reuse._experiments) == len(reuse._data) == 1
    train_and_evaluate(c, tmp_path / "alone")
    assert outcome(tmp_path / "2") == outcome(tmp_path / "alone")


def test_pictures_in_use_do_not_give_way(tmp_path):
    reuse = Reuse()
    for number, crop in enumerate((0, 1, 0, 2)):
        c = config(number, 0.1)
        c.dataset.augment.pad_crop = crop
        train_and_evaluate(c, tmp_path / str(number), build=reuse)
    assert [json.loads(key)["dataset"]["augment"]["pad_crop"] for key in reuse._experiments] == [
        0,
        2,
    ]


def test_no_more_is_kept_than_is_of_use(tmp_path, monkeypatch):
    monkeypatch.setattr("chanattn.training.reuse._MOST", 2)
    reuse = Reuse()
    for number, rate in enumerate((0.1, 0.2, 0.3)):
        c = config(0, rate)
        train_and_evaluate(c, tmp_path / str(number), build=reuse)
    assert len(reuse._experiments) == 2
    assert len({id(kept.train) for kept in reuse._experiments.values()}) == 1
