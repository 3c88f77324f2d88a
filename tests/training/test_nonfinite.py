"""A loss or gradient that is not finite: the run stops, skips the step, or goes back; it is never saved."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from small_runs import Crash, config_of, crash, outcome, terminate, tiny_config

from chanattn.data.placement import put_copies
from chanattn.data.training_data import DeviceTrainingData
from chanattn.errors import NonFinite, Preempted
from chanattn.runs.metrics_log import read_metrics
from chanattn.tasks.classification import Classification
from chanattn.training import nonfinite
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.folders import complete
from chanattn.training.loop import train_and_evaluate
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step

RNG = np.random.default_rng(0)
FEED = {
    "image": RNG.normal(size=(8, 6, 6, 3)).astype(np.float32),
    "label": RNG.integers(5, size=8).astype(np.int32),
    "mask": np.ones(8, np.float32),
}

SPOILT = FEED | {"image": FEED["image"] * np.float32(np.nan)}


@pytest.fixture(scope="module")
def build(tiny_net, mesh):
    """`build(optimizer) -> (step, fresh state)`; the step skips, and its window holds three steps."""
    steps = {}

    def schedule(step):
        return 0.1 / (1 + step)

    def build(name):
        optimizer = {"sgd": optax.sgd(schedule, 0.9), "adamw": optax.adamw(schedule)}[name]
        model, task = tiny_net(), Classification(0.1)
        if name not in steps:
            steps[name] = make_train_step(
                model,
                optimizer,
                schedule,
                task,
                lambda feed, step, key: feed,
                mesh=mesh,
                seed=1,
                ema_decay=0.9,
                log_every=3,
                skip_nonfinite=True,
            )
        state = create_state(make_init(model, optimizer, task, (6, 6, 3), ema=True, mesh=mesh), 1)
        return steps[name], state

    return build


def run(step, state, steps, bad=()):
    windows = []
    for number in range(steps):
        state, window = step(state, SPOILT if number in bad else FEED)
        windows.append(jax.device_get(window))
    return jax.device_get(state), windows


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_skipped_steps_change_nothing_that_is_learnt(build, name):
    """Of six steps two are bad; the reference makes the other four, and no more."""
    after, windows = run(*build(name), 6, bad=(1, 4))
    expected, clean = run(*build(name), 4)
    for part in ("params", "batch_stats", "opt_state", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, part), getattr(expected, part))
    assert (after.step, expected.step) == (6, 4)
    assert [int(w.skipped_steps) for w in windows] == [0, 1, 1, 1, 2, 2]
    assert [int(w.last_skipped_step) for w in windows] == [0, 2, 2, 2, 5, 5]
    assert [int(w.first_bad_step) for w in windows] == [0] * 6
    # Steps 1 and 3 of six are the first two of the reference; 4 and 6 its last two.
    assert windows[2].totals == clean[1].totals
    for metric in ("loss", "learning_rate", "grad_norm"):
        first, both, last = (clean[i].totals.sums[metric][0] for i in (1, 2, 3))
        np.testing.assert_allclose(
            windows[5].totals.sums[metric][0], both - first + last, rtol=1e-4
        )


def test_a_window_without_a_finite_step_has_no_metrics(build):
    _, windows = run(*build("sgd"), 3, bad=(0, 1, 2))
    assert windows[2].totals.sums["loss"] == (0, 0)
    assert np.isnan(windows[2].means()["loss"])  # null in metrics.jsonl
    assert int(windows[2].skipped_steps) == 3


def test_a_gradient_that_overflows_behind_a_finite_loss_counts(build):
    """Adam would divide by a second moment of inf for ever: no update, and nothing to be seen."""
    step, state = build("adamw")
    # Logits and loss of 1e22, and gradients of the layers before, whose squares float32 cannot hold.
    params = state.params | {
        name: state.params[name] | {"kernel": state.params[name]["kernel"] * 1e11}
        for name in ("attention", "classifier")
    }
    before = jax.device_get(params)
    state, window = step(dataclasses.replace(state, params=params), FEED)
    assert int(window.skipped_steps) == 1
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.params), before)


def test_every_roll_back_gives_another_seed_and_none_the_runs_own():
    seeds = [nonfinite.seed_after(7, number) for number in range(5)]
    assert seeds[0] == 7
    assert len({*seeds, nonfinite.seed_after(8, 1)}) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.fixture
def spoil(monkeypatch, tiny_runs):
    """`spoil([9], seed)`: step 9 of a run has NaN in its batch, under any seed or only under that one."""

    def spoil(steps, seed=None):
        feeds, prepare = DeviceTrainingData.feeds, DeviceTrainingData.prepare

        def spoilt_feeds(self, start):
            for step, feed in enumerate(feeds(self, start), start + 1):
                bad = step in steps and seed in (None, self.seed)
                yield feed | {"bad": put_copies(np.bool_(bad), self.mesh)}

        def spoilt(self, feed, step, key):
            batch = prepare(self, feed, step, key)
            return batch | {"image": jnp.where(feed["bad"], jnp.nan, batch["image"])}

        monkeypatch.setattr(DeviceTrainingData, "feeds", spoilt_feeds)
        monkeypatch.setattr(DeviceTrainingData, "prepare", spoilt)

    return spoil


def short(policy, limit=10):
    """24 steps: logged every 4th, saved every 7th, evaluated every 6th."""
    return tiny_config(nonfinite=ConfigDict({"policy": policy, "limit": limit}))


def losses(run):
    return {line["step"]: line["loss"] for line in read_metrics(run) if line["split"] == "train"}


def saved(run):
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        return {
            step: (checkpoints.progress(step), checkpoints.manifest(step))
            for step in checkpoints.steps()
        }


def test_stop_is_the_default_and_keeps_the_last_good_checkpoint(tmp_path, spoil):
    spoil([10])
    assert config_of().nonfinite.policy == "stop"
    with pytest.raises(NonFinite, match="since step 10; step 7 is the last good") as raised:
        train_and_evaluate(short("stop"), tmp_path)
    assert raised.value.step == 10
    assert set(saved(tmp_path)) == {7}
    assert set(losses(tmp_path)) == {4, 8}


def test_skipped_steps_are_counted_and_an_interrupted_run_skips_the_same(tmp_path, spoil, at_line):
    spoil([2, 10])
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    train_and_evaluate(short("skip", limit=2), straight)
    counted = {line["step"]: line["skipped_steps"] for line in lines_of(straight, "train")}
    assert counted == {4: 1, 8: 1, 12: 2, 16: 2, 20: 2, 24: 2}
    assert all(np.isfinite(list(losses(straight).values())))
    at_line(16, crash)
    with pytest.raises(Crash):
        train_and_evaluate(short("skip", limit=2), cut)
    train_and_evaluate(short("skip", limit=2), cut)
    assert outcome(cut) == outcome(straight)


def test_more_skipped_steps_than_the_limit_stop_the_run(tmp_path, spoil):
    spoil([2, 3, 10])
    with pytest.raises(NonFinite) as raised:
        train_and_evaluate(short("skip", limit=2), tmp_path)
    assert "3 steps were skipped" in str(raised.value)
    assert "the last one step 10, and nonfinite.limit is 2; step 7 is the last" in str(raised.value)
    assert set(saved(tmp_path)) == {7}


def test_a_roll_back_takes_another_way_and_an_interrupted_run_takes_the_same(
    tmp_path, spoil, at_line
):
    spoil([10], seed=0)
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    summary = train_and_evaluate(short("rollback"), straight)
    assert summary["rollbacks"] == [{"step": 10, "to": 7}]
    steps = [line["step"] for line in lines_of(straight, "train")]
    assert steps == [4, 8, 12, 16, 20, 24]
    assert [line["rollbacks"] for line in lines_of(straight, "train")] == [0, 1, 1, 1, 1, 1]
    assert all(np.isfinite(list(losses(straight).values())))

    at_line(8, terminate)  # saves step 8, which the straight run has not: it must not go back there
    at_line(20, crash)  # goes on from a checkpoint behind the roll-back
    for error in (Preempted, Crash):
        with pytest.raises(error):
            train_and_evaluate(short("rollback"), cut)
    assert train_and_evaluate(short("rollback"), cut)["rollbacks"] == summary["rollbacks"]
    assert outcome(cut) == outcome(straight)
    for step, (progress, _) in saved(cut).items():
        data = {"seed": nonfinite.seed_after(0, 1), "next_batch": step}
        assert data.items() <= progress["data"].items()


def test_a_damaged_checkpoint_is_not_gone_back_to(tmp_path, spoil, at_line, monkeypatch):
    spoil([10], seed=0)
    monkeypatch.setattr(Checkpoints, "raise_errors", Checkpoints.wait)  # it is looked at before

    def damage():
        folder = tmp_path / "checkpoints/7"
        while 7 not in complete(folder.parent):
            time.sleep(0.01)
        part = max((folder / "weights/d").iterdir(), key=lambda path: path.stat().st_size)
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)

    at_line(8, damage)
    summary = train_and_evaluate(short("rollback"), tmp_path)
    assert summary["rollbacks"] == [{"step": 10, "to": 0}]
    assert [damaged["step"] for damaged in summary["damaged_checkpoints"]] == [7]
    assert (tmp_path / "checkpoints/damaged-7").is_dir()
    assert all(np.isfinite(list(losses(tmp_path).values())))


def test_a_run_that_diverges_whatever_the_order_stops_after_the_limit(tmp_path, spoil):
    spoil([10])
    with pytest.raises(NonFinite, match=r"since step 10; step 7 is .* The run went back 2 times"):
        train_and_evaluate(short("rollback", limit=2), tmp_path)
    assert max(saved(tmp_path)) == 7
    assert not (tmp_path / "summary.json").exists()


def lines_of(run, split):
    return [line for line in read_metrics(run) if line["split"] == split]
