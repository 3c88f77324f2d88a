"""Checkpoints: what comes back, and what is refused."""

import dataclasses
import re
import shutil
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from chanattn.errors import UsageError
from chanattn.tasks.classification import Classification
from chanattn.training import checkpoint
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.file_sums import FILES
from chanattn.training.manifest import checksums
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.state import abstract_state, create_state, make_init, parts_of


@pytest.fixture
def parts(tiny_net):
    return tiny_net(), optax.adamw(0.1), Classification(), (6, 6, 3)


@pytest.fixture
def state(parts, mesh):
    state = create_state(make_init(*parts, ema=True, mesh=mesh), 3)
    ema = jax.tree.map(lambda leaf: leaf + 1, state.ema)
    window = jax.tree.map(lambda leaf: leaf + 2, state.window)
    return dataclasses.replace(state, ema=ema, window=window)


@pytest.fixture
def template(parts, mesh):
    return abstract_state(make_init(*parts, ema=True, mesh=mesh))


def at(state, step):
    return dataclasses.replace(state, step=jnp.int32(step))


def assert_identical(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def save(directory, state, *steps, keep=2):
    with Checkpoints(directory, Retention(keep)) as checkpoints:
        for step in steps:
            checkpoints.save(at(state, step), {"step": step, "record": {"best": 0.5}})


def test_state_and_progress_come_back_as_they_were(tmp_path, state, template):
    save(tmp_path, state, 5)
    with Checkpoints(tmp_path) as checkpoints:
        assert_identical(checkpoints.restore(5, template), at(state, 5))
        assert checkpoints.progress(5)["record"] == {"best": 0.5}


def test_a_checkpoint_from_before_sums_were_exact_is_read(tmp_path, state, template, monkeypatch):
    monkeypatch.setattr(checkpoint, "parts_of", partial(parts_of, rest=False))
    save(tmp_path, state, 5)
    monkeypatch.undo()
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert not [path for path in checkpoints.manifest(5)["leaves"] if "rest" in path]
        restored = checkpoints.restore(5, template)
    assert_identical(restored.window.totals.sums, state.window.totals.sums)
    assert set(map(float, jax.tree.leaves(restored.window.totals.rest))) == {0.0}
    assert_identical(restored.weights, state.weights)


def test_newest_checkpoints_are_kept(tmp_path, state):
    save(tmp_path, state, 1, 2, 3, 4)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == [3, 4]
        assert checkpoints.latest() == 4


def test_weights_come_back_alone_raw_or_averaged(tmp_path, state, template):
    save(tmp_path, state, 5)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        raw = checkpoints.restore_weights(5, template.weights)
        averaged = checkpoints.restore_weights(5, template.weights, ema=True)
    assert_identical(raw, state.weights)
    assert_identical(averaged, state.ema)


def test_averages_that_were_not_made_are_refused(tmp_path, state, template):
    save(tmp_path, dataclasses.replace(state, ema=None), 5)
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(UsageError, match="no moving averages"),
    ):
        checkpoints.restore_weights(5, template.weights, ema=True)


@pytest.mark.parametrize("leftover", ["empty", "unfinished"])
def test_an_incomplete_checkpoint_is_ignored_and_its_step_can_be_saved_again(
    tmp_path, state, template, leftover
):
    save(tmp_path, state, 5)
    if leftover == "empty":
        (tmp_path / "9").mkdir()
    else:
        shutil.copytree(tmp_path / "5" / "weights", tmp_path / "9" / "weights")
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest() == 5
    assert (tmp_path / "9").exists()
    with Checkpoints(tmp_path, Retention(2)) as checkpoints:
        (restored, _), (damaged,) = restore_newest(checkpoints, template)
        assert_identical(restored, at(state, 5))
        assert damaged.step == 9
        checkpoints.save(at(state, 9), {})
    assert (tmp_path / "damaged-9").is_dir()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [5, 9]
        assert_identical(checkpoints.restore(9, template), at(state, 9))


def test_arrays_that_differ_from_what_was_saved_are_refused(tmp_path, state, template):
    """Another checkpoint's valid files stand for a flipped bit, of which Orbax says nothing either."""
    save(tmp_path, state, 5)
    scale = jax.tree.map(lambda leaf: leaf * (1 + 2**-20), state.params)
    save(tmp_path / "other", dataclasses.replace(state, params=scale), 5)
    shutil.rmtree(tmp_path / "5" / "weights")
    shutil.copytree(tmp_path / "other" / "5" / "weights", tmp_path / "5" / "weights")
    (tmp_path / "5" / FILES).unlink()  # which would have told before
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(
            UsageError,
            match=r"5 is damaged \(weights/params/attention/kernel, .* and 1 more differ from what was saved",
        ),
    ):
        checkpoints.restore(5, template)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, state, parts, mesh):
    save(tmp_path, state, 5)
    model, *rest = parts
    other = abstract_state(make_init(model, *rest[:2], (6, 6, 4), ema=True, mesh=mesh))
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(
            UsageError,
            match=r"params/stem/kernel is float32\[3, 3, 3, 8\] there and float32\[3, 3, 4, 8\] here",
        ),
    ):
        checkpoints.restore(5, other)


def test_a_write_that_failed_in_the_background_is_reported_before_the_next_save(
    tmp_path, state, monkeypatch
):
    async def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(tmp_path, Retention(2))
    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", no_space)
    checkpoints.save(at(state, 1), {})
    with pytest.raises(OSError, match="No space left"):
        _until_raised(checkpoints)
    assert checkpoints.latest() is None


def _until_raised(checkpoints):
    for _ in range(200):
        checkpoints.raise_errors()
        time.sleep(0.05)


def test_what_is_saved_is_not_touched_by_the_steps_that_follow(tmp_path, state, template):
    saved = jax.device_get(at(state, 1))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at(state, 1), {})
        clear = jax.jit(lambda s: jax.tree.map(jnp.zeros_like, s), donate_argnums=0)
        jax.block_until_ready(clear(jax.tree.map(jnp.asarray, state)))
        checkpoints.wait()
        assert_identical(checkpoints.restore(1, template), saved)


def test_a_directory_that_does_not_exist_holds_no_checkpoints(tmp_path):
    with Checkpoints(tmp_path / "none", read_only=True) as checkpoints:
        assert checkpoints.steps() == []
        assert checkpoints.latest() is None
    assert not (tmp_path / "none").exists()


def test_checksum_sees_one_bit():
    ones = {"a": {"b": np.ones((3, 4), np.float32)}}
    changed = {"a": {"b": ones["a"]["b"].copy()}}
    changed["a"]["b"].view(np.int32)[1, 1] ^= 1
    assert checksums(ones) == checksums({"a": {"b": jnp.ones((3, 4))}})
    assert checksums(ones) != checksums(changed)


def test_the_page_on_checkpoints_names_tests_that_exist():
    here = Path(__file__).parent
    page = (here.parents[1] / "docs" / "checkpoints.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    written = "".join(path.read_text() for path in here.glob("test_*.py"))
    assert len(named) > 25
    assert named <= set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE))
