"""The step of this project stays faster than the same network in plain Flax, measured side by side."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import ours, rows
from chanattn import onednn
from chanattn.training.experiment import Experiment


@pytest.mark.skipif(not onednn.available(), reason="oneDNN is absent")
def test_every_convolution_of_a_step_and_its_gradients_are_onednns():
    (row,) = rows.make(["resnet20"], batch_size=4, on_accelerator=False, precision="float32")
    experiment = Experiment.build(ours.config_of(row, 1, "auto"))
    feed = next(experiment.train.feeds(0))
    text = experiment.train_step().lower(experiment.create_state(), feed).as_text()
    assert "stablehlo.convolution" not in text
    # Forward, gradient of the kernel, and of the input but in the first.
    assert text.count("custom_call @chanattn.onednn.convolution") >= 3 * 19 - 1


@pytest.mark.soak
def test_a_resnet20_step_is_at_least_1_2_times_as_fast_as_plain_flax(tmp_path):
    """Not beside other tests: oneDNN's threads wait for each other, and lose most on a busy machine."""
    file = tmp_path / "guard.json"
    command = [
        sys.executable,
        *("-m", "benchmarks.throughput", "--rows=resnet20", "--modes=train", "--against=flax"),
        *("--rounds=3", "--seconds=1", f"--json={file}"),
    ]
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    assert row["ratio"] >= 1.2
