"""What a training prints of its steps and evaluations."""

import math
import re

import pytest
from small_runs import tiny_config

from chanattn.runs.metrics_log import read_metrics
from chanattn.training.loop import train_and_evaluate
from chanattn.training.state import Window


@pytest.mark.usefixtures("tiny_runs")
def test_evaluations_have_the_name_of_their_split_and_what_nothing_was_measured_of_is_left_out(
    tmp_path, monkeypatch, capsys
) -> None:
    means = Window.means
    monkeypatch.setattr(Window, "means", lambda self: means(self) | {"top1": math.nan})
    config = tiny_config(log_every=2, eval_every=4, checkpoint_every=4)
    config.steps = 4
    config.dataset.eval_split = "validation"
    config.ema.decay = 0.9
    train_and_evaluate(config, tmp_path)
    printed = capsys.readouterr().out
    assert re.search(r"^step 4 validation:  .*top1 \d", printed, re.MULTILINE)
    assert re.search(r"^step 4 validation, averaged weights:  .*top1 \d", printed, re.MULTILINE)
    steps = re.findall(r"^step \d/4 .*", printed, re.MULTILINE)
    assert len(steps) == 2
    for line in steps:
        assert "loss" in line
        assert "nan" not in line
        assert "top1" not in line
    trained = [line for line in read_metrics(tmp_path) if line["split"] == "train"]
    assert [line["top1"] for line in trained] == [None, None]
