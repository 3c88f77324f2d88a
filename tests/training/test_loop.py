"""The loop: what a run leaves behind, and that stopping it in any way changes none of it."""

import json
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest
from small_runs import RECIPE, config_of, outcome, terminate, tiny_config

from chanattn import models, onednn
from chanattn.errors import NonFinite, Preempted, UsageError
from chanattn.onednn import ffi
from chanattn.report.run_pictures import draw_run
from chanattn.runs.metrics_log import read_metrics
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.loop import train_and_evaluate
from chanattn.training.step_program import StepProgram
from tests.training.conftest import TinyNet

ROOT = RECIPE.parents[2]


def start(workdir, loader):
    """`train.py` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "train.py", f"--config={RECIPE}:{loader}", f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Finished runs that were never stopped, by loader."""
    runs = {}

    def run(loader):
        if loader not in runs:
            runs[loader] = tmp_path_factory.mktemp(loader) / "run"
            train_and_evaluate(config_of(loader), runs[loader])
        return runs[loader]

    return run


def test_a_run_leaves_metrics_checkpoints_and_a_summary_of_which_curves_are_drawn(straight):
    run = straight("device")
    summary = json.loads((run / "summary.json").read_text())
    lines = read_metrics(run)
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(4, 41, 4))
    for split in ("test", "ema"):
        evaluated = [line for line in lines if line["split"] == split]
        assert [line["step"] for line in evaluated] == [6, 12, 18, 24, 30, 36, 40]
        assert summary["final"][split]["loss"] == evaluated[-1]["loss"]
        assert summary["best"][split]["top1"] == max(line["top1"] for line in evaluated)
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps() == [35, 40]
    draw_run(run)
    assert (run / "curves.png").stat().st_size > 1000
    assert summary["steps"] == 40
    assert summary["examples"] == 640
    assert 0 < summary["images_per_second"] < 1e6
    assert summary["parameters"] > 70_000


def test_both_loaders_evaluate_the_same_examples(straight):
    """At step 6 the weights differ by order and augmentation, the counts do not."""
    for loader in ("device", "stream"):
        line = next(line for line in read_metrics(straight(loader)) if line["split"] == "test")
        assert (line["top1"] * 72) == pytest.approx(round(line["top1"] * 72), abs=1e-4)


def test_a_killed_process_resumes_bit_for_bit(straight, tmp_path):
    """By SIGTERM; by SIGKILL, and with the other loader, in test_kills.py."""
    run = tmp_path / "run"
    process = start(run, "stream")
    try:
        deadline = time.monotonic() + 120
        while not any(line["step"] >= 16 for line in read_metrics(run)):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 75, errors
    assert not (run / "summary.json").exists()
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        assert 7 <= checkpoints.latest() < 40
    train_and_evaluate(config_of("stream"), run)
    assert outcome(run) == outcome(straight("stream"))


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_a_signal_where_an_evaluation_is_due_loses_nothing(tmp_path, tiny_runs, at_line, loader):
    config = config_of(loader)
    config.dataset.synthetic_classes = 5  # of the tiny network
    before = signal.getsignal(signal.SIGTERM)
    at_line(12, terminate)
    with pytest.raises(Preempted, match="SIGTERM after step 12"):
        train_and_evaluate(config, tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) is before
    assert max(line["step"] for line in read_metrics(tmp_path / "run")) == 12
    train_and_evaluate(config, tmp_path / "run")
    train_and_evaluate(config, tmp_path / "straight")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


def test_a_finished_run_started_again_repeats_its_summary(straight):
    run = straight("device")
    before = outcome(run), json.loads((run / "summary.json").read_text())
    summary = train_and_evaluate(config_of("device"), run)
    assert outcome(run) == before[0]
    times = {"seconds": 0, "phases": {}}  # the last save of the first process is in no checkpoint
    assert {**summary, **times} == {**before[1], **times}


def test_a_run_that_diverges_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path, tiny_runs):
    good = config_of(steps=4, checkpoint_every=2)
    good.dataset.synthetic_classes = 5  # of the tiny network
    train_and_evaluate(good, tmp_path)
    bad = config_of(steps=20, checkpoint_every=1, log_every=10, eval_every=20)
    bad.dataset.synthetic_classes = 5
    bad.optimizer.learning_rate = 1e38
    with pytest.raises(NonFinite, match=r"since step 5; step 4 is the last good checkpoint"):
        train_and_evaluate(bad, tmp_path, allow_config_change=True)
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps() == [2, 4]
    assert not (tmp_path / "summary.json").exists()


def test_divergence_between_saves_is_seen_at_the_next_log_point(tmp_path, tiny_runs):
    config = config_of(steps=20, checkpoint_every=20, log_every=3, eval_every=20)
    config.dataset.synthetic_classes = 5
    config.optimizer.learning_rate = 1e38
    with pytest.raises(NonFinite, match="since step 1; nothing had been saved"):
        train_and_evaluate(config, tmp_path)
    assert read_metrics(tmp_path) == []


def test_devices_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"cpu_devices=3|does not divide over 3"):
        train_and_evaluate(config_of(cpu_devices=3), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")
def test_the_host_prepares_the_next_step_while_the_device_computes_and_never_runs_far_ahead(
    tmp_path, monkeypatch
):
    def compute(addresses):
        time.sleep(0.05)
        done.append(addresses)

    class SlowNet(TinyNet):
        def __call__(self, x, train=False):
            y, more = super().__call__(x, train)
            if train:
                # Not a callback of JAX's: with one of those, the host waits for each step.
                result = jax.ShapeDtypeStruct((), jnp.float32)
                slow = jax.ffi.ffi_call("chanattn.test.slow", result, has_side_effect=True)
                slow(jax.lax.stop_gradient(y))
            return y, more

    def dispatch(self, state, feed, steps):
        ahead.append(sum(asked) - len(done))  # steps that were dispatched and are not done
        asked.append(steps)
        return call(self, state, feed, steps)

    ahead, asked, done, call = [], [], [], StepProgram.__call__
    ffi.register("chanattn.test.slow", compute)
    monkeypatch.setattr(models, "from_config", lambda *_: SlowNet())
    monkeypatch.setattr(StepProgram, "__call__", dispatch)
    train_and_evaluate(
        tiny_config(log_every=100, eval_every=100, checkpoint_every=100), tmp_path / "run"
    )
    assert sum(asked) == len(done) == 24
    assert 1 <= max(ahead) <= 4
    assert sum(steps >= 1 for steps in ahead) > len(ahead) / 2


def test_what_does_not_fit_the_network_is_refused_before_anything_is_written(tmp_path):
    config = config_of()
    config.model.attention.name = "se_gc"
    config.model.attention.groups = 7
    with pytest.raises(UsageError, match="groups=7 do not divide 16 channels; choose a divisor"):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
