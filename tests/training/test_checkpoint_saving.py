"""Saving where it cannot work: no room, no permission, a write that fails behind the run's back, a kill."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.errors import SaveFailed, UsageError
from chanattn.tasks.classification import Classification
from chanattn.training import space
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention, ranked
from chanattn.training.state import abstract_state, create_state, make_init


@pytest.fixture(scope="module")
def parts(tiny_net):
    return tiny_net(), optax.adamw(0.1), Classification(), (6, 6, 3)


@pytest.fixture(scope="module")
def state(parts, mesh):
    return create_state(make_init(*parts, ema=False, mesh=mesh), 3)


@pytest.fixture(scope="module")
def template(parts, mesh):
    return abstract_state(make_init(*parts, ema=False, mesh=mesh))


def at(state, step):
    return dataclasses.replace(state, step=jnp.int32(step))


def test_too_little_room_is_seen_before_anything_is_written(tmp_path, state, monkeypatch):
    with Checkpoints(tmp_path, Retention(1)) as checkpoints:
        checkpoints.save(at(state, 1), {})
        checkpoints.wait()
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(SaveFailed) as raised:
            checkpoints.save(at(state, 2), {})
        assert "step 2 could not be written" in str(raised.value)
        assert "it needs 1.0 MiB and 0.0 MiB are free" in str(raised.value)
        assert "step 1 is the last one there" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_failed_write_deletes_no_older_checkpoint(tmp_path, state, template, monkeypatch, keep):
    async def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with Checkpoints(tmp_path, Retention(keep)) as checkpoints:
        checkpoints.save(at(state, 1), {})
        checkpoints.wait()
        monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", no_space)
        checkpoints.save(at(state, 2), {})
        with pytest.raises(
            SaveFailed, match="step 2 could not .*No space left.*step 1 is the last"
        ):
            checkpoints.wait()
        monkeypatch.undo()
    with Checkpoints(tmp_path, Retention(keep)) as checkpoints:
        (restored, _), _ = restore_newest(checkpoints, template)
        assert int(restored.step) == 1
        checkpoints.save(at(state, 2), {})
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1, 2][-keep:]


def test_a_failed_last_write_surfaces_when_the_checkpoints_are_left(tmp_path, state, monkeypatch):
    async def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", no_space)
    with pytest.raises(SaveFailed, match="No space left"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at(state, 1), {})


def test_a_failed_last_write_is_a_note_to_the_error_that_ends_the_run(tmp_path, state, monkeypatch):
    async def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", no_space)
    with pytest.raises(ZeroDivisionError) as raised:
        save_and_fail(tmp_path, state)
    assert "No space left" in raised.value.__notes__[0]


def test_an_error_on_the_way_out_waits_for_the_write(tmp_path, state, template):
    with pytest.raises(ZeroDivisionError):
        save_and_fail(tmp_path, state)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert int(checkpoints.restore(1, template).step) == 1


@pytest.fixture
def locked_directory():
    """A directory that this process may read and not write, be it root or not."""
    if os.geteuid() == 0 and not hasattr(os, "setresuid"):
        pytest.skip("root cannot become somebody else here")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others than root
        directory = Path(folder)
        directory.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.setresuid(65534, 65534, 0)
        yield directory
        if root:
            os.setresuid(0, 0, 0)
        directory.chmod(0o755)


def test_a_read_only_directory_is_refused_in_one_line(locked_directory):
    for directory in (locked_directory, locked_directory / "checkpoints"):
        with pytest.raises(UsageError, match=r"cannot write to .*: Permission denied in "):
            Checkpoints(directory)


def test_a_file_system_mounted_read_only_is_refused_in_one_line(tmp_path, monkeypatch):
    """Permissions say nothing there."""

    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="cannot write to .*: Read-only file system"):
        Checkpoints(tmp_path)


def save_and_fail(directory, state):
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(at(state, 1), {})
        raise ZeroDivisionError


steps = st.sets(st.integers(0, 60), min_size=1)
rules = st.builds(
    Retention, st.integers(1, 4), st.integers(0, 4), st.integers(0, 20), st.integers(0, 20)
)


@given(steps, rules, st.dictionaries(st.integers(0, 60), st.floats(0, 1)))
def test_every_rule_keeps_what_it_wants_and_the_newest_always_stays(steps, retention, scores):
    kept = retention.kept(steps, scores)
    assert max(steps) in kept <= steps
    ordered = sorted(steps)
    wanted = set(ordered[max(0, len(ordered) - retention.newest) :])
    if retention.every:
        wanted |= {step for step in steps if step % retention.every == 0}
    if retention.anchor:
        wanted |= set([step for step in ordered if step % retention.anchor == 0][-1:])
    scored = [step for step in ordered if step in scores]
    for _ in range(min(retention.best, len(scored))):
        best = max(scored, key=lambda step: (scores[step], -step))
        wanted.add(best)
        scored.remove(best)
    assert kept == wanted


def test_of_equal_scores_the_earlier_is_better():
    assert ranked({3, 1, 2, 4}, {1: 0.5, 2: 0.7, 3: 0.7, 9: 1.0}) == [2, 3, 1]


def test_best_and_periodic_checkpoints_outlive_newer_ones(tmp_path, state):
    with Checkpoints(tmp_path, Retention(newest=1, best=1, every=4)) as checkpoints:
        for step, score in enumerate([0.1, 0.9, 0.3, 0.2, 0.4, 0.5], start=1):
            checkpoints.scores[step] = score
            checkpoints.save(at(state, step), {})
        checkpoints.wait()
        assert checkpoints.steps() == [2, 4, 6]
