"""The config in the run directory is the config that trained."""

import json

from chanattn.training.checkpoint import Checkpoints
from chanattn.training.config import changed_fields, from_json
from chanattn.training.loop import train_and_evaluate
from chanattn.training.run_directory import read_config
from tests.training.test_loop import config_of, outcome


def test_a_run_trained_by_the_config_that_another_has_left_is_that_run(tmp_path):
    config = config_of(seed=5, steps=6, eval_every=3, checkpoint_every=3)
    config.optimizer.weight_decay = 0.0123
    config.model.attention.reduction = 2
    given = config.to_json()
    train_and_evaluate(config, tmp_path / "first")
    assert config.to_json() == given  # nothing changes it on its way
    left = read_config(tmp_path / "first")
    train_and_evaluate(left, tmp_path / "second")
    assert outcome(tmp_path / "second") == outcome(tmp_path / "first")
    with Checkpoints(tmp_path / "first" / "checkpoints", read_only=True) as checkpoints:
        kept = from_json(json.dumps(checkpoints.progress(6)["config"]))
    assert changed_fields(config, left) == changed_fields(config, kept) == {}
