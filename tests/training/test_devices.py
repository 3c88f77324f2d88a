"""The numbers do not depend on how many devices or processes compute them."""

import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import RECIPE, config_of

from chanattn.runs.metrics_log import read_metrics
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.loop import train_and_evaluate

ROOT = RECIPE.parents[2]
SHORT = (
    "--config.eval_every=8",
    "--config.log_every=1",
    "--config.checkpoint_every=4",
    "--config.schedule.name=constant",
)


def train(workdir, *arguments):
    command = [sys.executable, "train.py", f"--config={RECIPE}", f"--workdir={workdir}"]
    return subprocess.Popen(
        [*command, *SHORT, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    try:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def losses(workdir, split="train"):
    lines = [line for line in read_metrics(workdir) if line["split"] == split]
    return [line["step"] for line in lines], np.array([line["loss"] for line in lines])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    config = config_of(steps=8, eval_every=8, log_every=1, checkpoint_every=4)
    config.schedule.name = "constant"
    run = tmp_path_factory.mktemp("one_device")
    train_and_evaluate(config, run)
    return run


def test_eight_devices_train_like_one(one_device, tmp_path):
    """Two images a device: norms over the images of one device alone would move the loss by far more."""
    (output,) = finish(train(tmp_path, "--config.steps=8", "--config.cpu_devices=8"))
    assert "devices: 8 x cpu" in output
    for split in ("train", "test", "ema"):
        steps, values = losses(tmp_path, split)
        expected_steps, expected = losses(one_device, split)
        assert steps == expected_steps
        np.testing.assert_allclose(values, expected, rtol=2e-4)


def test_two_processes_train_like_one_though_one_is_killed_and_the_pair_starts_again(
    one_device, tmp_path
):
    def both():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        flags = (f"--coordinator={address}", "--num_processes=2", "--config.steps=20")
        return [train(tmp_path, *flags, f"--process_id={i}") for i in range(2)]

    first, second = both()
    try:
        deadline = time.monotonic() + 240
        while len(losses(tmp_path)[0]) < 6:
            assert first.poll() is None, first.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        second.kill()
        output = first.communicate(timeout=100)[
            0
        ]  # of JAX's heartbeat; a broken connection is seen at once
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert first.returncode not in {0, 75}
    assert "Traceback" in output
    assert "devices: 2 x cpu" in output
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        assert 4 <= checkpoints.latest() < 20
    first, second = finish(*both())
    assert "continuing from step" in first
    assert "devices" not in second
    steps, values = losses(tmp_path)
    assert steps == list(range(1, 21))
    np.testing.assert_allclose(values[:8], losses(one_device)[1], rtol=2e-4)
