"""A run directory may have any name: what is saved there is found again, and nothing of its neighbours."""

import dataclasses
import gc
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sampling import only
from small_runs import outcome, terminate, tiny_config

from chanattn.errors import Preempted, SaveFailed, UsageError
from chanattn.tasks.classification import Classification
from chanattn.training import checkpoint, plain_path
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.run_directory import check_run
from chanattn.training.state import abstract_state, create_state, make_init

# What a pattern, an address, a format, a shell or Orbax would make something else of, and all that can be
# in one name together.
TOGETHER = ["lr[0.1]*?{a,b}{step} ~%2F%s#1a:b;c&d|e$HOME`x`'\"<a>!^@=+,\x7f\n\\b\u00e4\u65e5\udcff"]
TOGETHER += ["gs:", "**", "[", "~", "a\u0308", "12", "commit_success.txt", "x.orbax-checkpoint-tmp"]
TOGETHER += ["x" * 255, "/".join(["long" * 50] * 17)]
NAMES = [
    *TOGETHER,
    *("lr[0.1]", "[!a]", "a*", "a?", "{a,b}", "{step}", "~root"),
    *("%2F", "%s", "#1", "a:b", "gs", "a\nb", " a b ", "\x7f"),
    *("ä", "\u65e5\u672c", "\udcff", "a\\b", "--x", "a.."),
    *("a;b&c|d", "$HOME", "`x`", "'\"", "<a>!^@=+,"),
]
PARTS = (optax.adamw(0.1), Classification(), (6, 6, 3))

# Orbax leaves the operations that it gave up to the collector, which finds them in a later test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def state(tiny_net, mesh):
    return create_state(make_init(tiny_net(), *PARTS, ema=False, mesh=mesh), 3)


@pytest.fixture(scope="module")
def template(tiny_net, mesh):
    return abstract_state(make_init(tiny_net(), *PARTS, ema=False, mesh=mesh))


def at(state, step):
    return dataclasses.replace(state, step=jnp.int32(step))


@pytest.mark.parametrize("name", only(TOGETHER, NAMES), ids=lambda name: ascii(name)[1:20])
def test_what_is_saved_under_a_name_is_found_under_it(tmp_path, state, template, name):
    directory = tmp_path / name / "checkpoints"
    open_before = len(os.listdir("/proc/self/fd"))
    with Checkpoints(directory, Retention(1)) as checkpoints:
        checkpoints.save(at(state, 1), {"step": 1})
    with Checkpoints(directory, Retention(1)) as checkpoints:
        (restored, values), damaged = restore_newest(checkpoints, template)
        assert (int(restored.step), values, damaged) == (1, {"step": 1}, [])
        jax.tree.map(np.testing.assert_array_equal, restored.params, state.params)
        checkpoints.save(at(state, 2), {"step": 2})
    assert [path.name for path in directory.iterdir()] == ["2"]
    assert len(os.listdir("/proc/self/fd")) <= open_before
    shutil.rmtree(tmp_path / name.split("/", maxsplit=1)[0])


def test_a_run_with_all_of_it_in_its_name_is_stopped_continued_and_evaluated(
    tmp_path, at_line, tiny_runs
):
    name = "lr[0.1]*?{a}~ %2F#gs:\\\u65e5\nb\udcff"
    config = tiny_config()
    config.checkpoint.keep_best = 1
    for run in ("plain", name):
        at_line(8, terminate)
        with pytest.raises(Preempted):
            train_and_evaluate(config, tmp_path / run)
        train_and_evaluate(config, tmp_path / run)
    assert outcome(tmp_path / name) == outcome(tmp_path / "plain")
    results = [evaluate_run(tmp_path / run, step="best") for run in ("plain", name)]
    assert results[0]["top1"] == results[1]["top1"]
    assert (tmp_path / name / "summary.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"plain", name}


def test_a_name_that_would_match_its_neighbour_leaves_it_alone(tmp_path, state, template):
    """Both are being written: a pattern would take the arrays of one for those of the other."""
    other = jax.tree.map(lambda leaf: leaf + 1, state)
    with Checkpoints(tmp_path / "ab") as neighbour, Checkpoints(tmp_path / "a*") as ours:
        neighbour.save(at(other, 1), {})
        ours.save(at(state, 1), {})
        neighbour.wait()
        ours.wait()
        jax.tree.map(np.testing.assert_array_equal, ours.restore(1, template).params, state.params)
        jax.tree.map(
            np.testing.assert_array_equal, neighbour.restore(1, template).params, other.params
        )


def test_folders_that_bear_the_name_of_a_service_are_folders():
    """Whoever mounts a bucket at `/s3` means the mount."""
    assert not any(plain_path.is_plain(f"/{name}/runs/a") for name in ("gs", "s3", "az", "hf"))
    assert plain_path.is_plain("/home/gs/s3-runs/lr=0.1,wd=1e-4")


def test_a_save_that_cannot_be_found_again_fails(tmp_path, state, monkeypatch):
    """The fault of which a run once ended with exit code 0: all of its checkpoints were unreadable."""
    monkeypatch.setattr(checkpoint, "plain", plain_path.contextmanager(lambda path: iter([path])))
    with Checkpoints(tmp_path / "lr[0.1]") as checkpoints:
        checkpoints.save(at(state, 1), {})
        with pytest.raises(SaveFailed, match="step 1 could not be written .* nothing was saved"):
            checkpoints.wait()
    gc.collect()


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://bucket/run", "file:///tmp/run"])
def test_an_address_is_no_folder(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"--workdir={address} is an address"):
        check_run(address, tiny_config())
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_leaves_no_room_for_a_runs_files_is_refused(tmp_path):
    run = tmp_path.joinpath(*["x" * 200] * 20)
    with pytest.raises(UsageError, match="the path of --workdir has .* choose a shorter one"):
        check_run(run, tiny_config())
    assert list(tmp_path.iterdir()) == []


def test_without_handles_a_name_that_orbax_mistakes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_path, "_HANDLES", tmp_path / "absent")
    with pytest.raises(UsageError, match=r"Orbax takes such a name for a pattern or an address"):
        check_run(tmp_path / "lr[0.1]", tiny_config())
    check_run(tmp_path / "lr=0.1", tiny_config())
