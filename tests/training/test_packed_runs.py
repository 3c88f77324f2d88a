"""A run that was packed in the middle and unpacked elsewhere goes on as if nothing had happened."""

import shutil

import pytest
from small_runs import Crash, crash, outcome, tiny_config

from chanattn.packing.archive import pack, unpack
from chanattn.training.loop import train_and_evaluate

pytestmark = pytest.mark.usefixtures("tiny_runs")


def test_a_packed_run_is_resumed_elsewhere_to_the_bit(tmp_path, at_line):
    straight, begun, moved = (tmp_path / name for name in ("straight", "begun", "moved"))
    train_and_evaluate(tiny_config(), straight)
    at_line(16, crash)
    with pytest.raises(Crash):
        train_and_evaluate(tiny_config(), begun)
    pack(begun, tmp_path / "run.tar")
    shutil.rmtree(begun)
    unpack(tmp_path / "run.tar", moved)
    train_and_evaluate(tiny_config(), moved)
    assert outcome(moved) == outcome(straight)
