"""The step of this project stays faster than the same network in plain Flax, measured side by side."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_resnet20_step_is_at_least_1_2_times_as_fast_as_plain_flax(tmp_path):
    file = tmp_path / "guard.json"
    command = [
        sys.executable,
        *("-m", "benchmarks.throughput", "--rows=resnet20", "--modes=train", "--against=flax"),
        *("--rounds=3", "--seconds=1", f"--json={file}"),
    ]
    for_tests = ("OMP_NUM_THREADS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    own = {name: value for name, value in os.environ.items() if name not in for_tests}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    assert row["ratio"] >= 1.2
