"""Damaged checkpoints: the newest good one is used, the bad are named and set aside; never garbage."""

import dataclasses
import gc
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn.errors import DamagedCheckpoint, UsageError
from chanattn.tasks.classification import Classification
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.file_sums import FILES
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.state import abstract_state, create_state, make_init


@pytest.fixture(scope="module")
def parts(tiny_net):
    return tiny_net(), optax.adamw(0.1), Classification(), (6, 6, 3)


@pytest.fixture(scope="module")
def template(parts, mesh):
    return abstract_state(make_init(*parts, ema=True, mesh=mesh))


@pytest.fixture(scope="module")
def states(parts, mesh):
    """States of steps 5 and 9 that differ in every array."""
    made = {}
    for step in (5, 9):
        state = create_state(make_init(*parts, ema=True, mesh=mesh), step)
        noise = np.random.default_rng(step)
        weights, ema = jax.tree.map(
            lambda leaf: leaf + noise.normal(size=leaf.shape).astype(leaf.dtype),  # noqa: B023
            (state.weights, state.ema),
        )
        made[step] = dataclasses.replace(state, step=jnp.int32(step), ema=ema, **weights)
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory, states):
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder, Retention(2)) as checkpoints:
        for step, state in states.items():
            checkpoints.save(state, {"step": step, "record": {"best": step / 10}})
    return folder


@pytest.fixture
def directory(saved, tmp_path):
    """A copy of two good checkpoints, to be damaged."""
    return shutil.copytree(saved, tmp_path / "checkpoints")


def arrays(folder, part):
    """The file that holds most of the arrays of a part."""
    return max((folder / part / "d").iterdir(), key=lambda path: path.stat().st_size)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, position=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 0x10
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_arrays(folder):
    for path in files(folder / "training"):
        path.unlink()


def edit_progress(folder):
    """Valid JSON with another value, as from a hand that meant well."""
    path = folder / "progress/metadata"
    path.write_text(path.read_text().replace("0.9", "0.8"))


DAMAGES = {
    "a flipped byte in an array": lambda folder: flip(arrays(folder, "weights")),
    "a flipped byte in the averages": lambda folder: flip(arrays(folder, "ema")),
    "a flipped byte in the optimizer state": lambda folder: flip(arrays(folder, "training")),
    "a flipped byte in the JSON": lambda folder: flip(folder / "progress/metadata"),
    "a flipped byte in the manifest": lambda folder: flip(folder / "manifest/metadata"),
    "another value in the JSON": edit_progress,
    "a truncated array": lambda folder: truncate(arrays(folder, "weights")),
    "an emptied array": lambda folder: arrays(folder, "weights").write_bytes(b""),
    "a truncated manifest": lambda folder: truncate(folder / "manifest/metadata"),
    "a missing array": lambda folder: arrays(folder, "weights").unlink(),
    "all arrays of a part missing": remove_arrays,
    "a missing part": lambda folder: shutil.rmtree(folder / "training"),
    "a missing manifest": lambda folder: shutil.rmtree(folder / "manifest"),
    "checksums that are damaged": lambda folder: truncate(folder / FILES),
    "a checksum beyond all numbers": lambda folder: (folder / FILES).write_text(
        '{"weights/d": 1e999}'
    ),
    "a checksum of no possible file": lambda folder: (folder / FILES).write_text(
        '{"weights/\\u0000": 1, "weights/\\ud800": 1}'
    ),
    "checksums without a bottom": lambda folder: (folder / FILES).write_text("[" * 10**5),
    "the folder of another step": lambda folder: (
        shutil.rmtree(folder),
        shutil.copytree(folder.with_name("5"), folder),
    ),
    "a missing end": lambda folder: (folder / "_CHECKPOINT_METADATA").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_newest_good_checkpoint_is_used_and_the_bad_one_set_aside(
    directory, states, template, damage
):
    damage(directory / "9")
    with Checkpoints(directory, Retention(2)) as checkpoints:
        (state, values), (wrong,) = restore_newest(checkpoints, template)
        assert_identical(state, states[5])
        assert values == {"step": 5, "record": {"best": 0.5}}
        assert wrong.step == 9
        assert wrong.reason
        assert "\n" not in str(wrong)
        assert checkpoints.steps_on_disk() == [5]
        checkpoints.save(states[9], {"step": 9})
    assert (directory / "damaged-9").is_dir()
    with Checkpoints(directory) as checkpoints:
        (state, _), nothing = restore_newest(checkpoints, template)
        assert nothing == []
        assert_identical(state, states[9])


def test_no_damage_to_any_file_brings_garbage_back(directory, states, template):
    """Some files are copies or remarks that reading does without; then all that was saved comes back."""
    noticed, kinds = 0, (flip, truncate, type(directory).unlink)
    with Checkpoints(directory, read_only=True) as checkpoints:
        for number, path in enumerate(files(directory / "9")):
            content = path.read_bytes()
            kinds[number % 3](path)
            try:
                state, values = checkpoints.restore(9, template), checkpoints.progress(9)
            except DamagedCheckpoint:
                noticed += 1
            else:
                assert_identical(state, states[9])
                assert values["step"] == 9
            path.write_bytes(content)
        assert_identical(checkpoints.restore(9, template), states[9])
    assert noticed >= 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of reads given up
@pytest.mark.parametrize("damage", [flip, truncate, type(Path()).unlink])
def test_without_the_checksums_of_files_damage_is_noticed_as_well(directory, template, damage):
    """As in checkpoints of earlier versions."""
    (directory / "9" / FILES).unlink()
    damage(arrays(directory / "9", "weights"))
    with Checkpoints(directory) as checkpoints:
        (state, _), (wrong,) = restore_newest(checkpoints, template)
    assert int(state.step) == 5
    assert wrong.reason
    gc.collect()  # reads that were given up complain here


def test_all_damaged_is_an_error_and_nothing_is_touched(directory, template):
    for step in ("5", "9"):
        flip(arrays(directory / step, "weights"))
    before = listing(directory)
    with (
        Checkpoints(directory, Retention(2)) as checkpoints,
        pytest.raises(UsageError, match=r"every checkpoint in .*step 9: .*step 5: .*nothing was"),
    ):
        restore_newest(checkpoints, template)
    assert listing(directory) == before


def test_an_empty_folder_alone_is_an_error_and_no_new_start(tmp_path, template):
    (tmp_path / "7").mkdir()
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UsageError, match="7: it is empty"):
        restore_newest(checkpoints, template)
    assert (tmp_path / "7").is_dir()


def test_no_checkpoint_at_all_is_a_new_start(tmp_path, template):
    with Checkpoints(tmp_path) as checkpoints:
        assert restore_newest(checkpoints, template) == (None, [])


def test_what_a_killed_save_and_a_killed_deletion_leave_is_cleared(directory, states, template):
    orphan = directory / "12.orbax-checkpoint-tmp"
    shutil.copytree(directory / "9" / "weights", orphan / "weights")
    half = directory / "3"
    shutil.copytree(directory / "9" / "weights", half / "weights")
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert checkpoints.steps() == [5, 9]
    assert orphan.is_dir()  # an evaluation touches nothing
    with Checkpoints(directory, Retention(2)) as checkpoints:
        (state, _), damaged = restore_newest(checkpoints, template)
    assert damaged == []
    assert_identical(state, states[9])
    assert not orphan.exists()
    assert not half.exists()


def test_what_is_not_left_by_a_deletion_stays(directory, template):
    (directory / "3").mkdir()
    (directory / "3" / "notes.txt").write_text("mine")
    (directory / "4").write_text("a file")
    (directory / "²").mkdir()
    truncate(directory / "5" / "_CHECKPOINT_METADATA")
    with Checkpoints(directory, Retention(2)) as checkpoints:
        restore_newest(checkpoints, template)
        assert checkpoints.steps() == [9]
    assert {path.name for path in directory.iterdir()} == {"3", "4", "5", "9", "²"}
    assert (directory / "3" / "notes.txt").read_text() == "mine"


def test_a_second_damaged_checkpoint_of_a_step_does_not_replace_the_first(
    directory, states, template
):
    for _ in range(2):
        truncate(arrays(directory / "9", "weights"))
        with Checkpoints(directory, Retention(2)) as checkpoints:
            restore_newest(checkpoints, template)
            checkpoints.save(states[9], {})
    names = {path.name for path in directory.iterdir()}
    assert names == {"5", "9", "damaged-9", "damaged-9-2"}


def test_a_checkpoint_from_before_the_manifests_is_refused_by_name(directory, template):
    shutil.rmtree(directory / "9" / "manifest")
    with (
        Checkpoints(directory, read_only=True) as checkpoints,
        pytest.raises(UsageError, match="/9 is damaged .it has no manifest"),
    ):
        checkpoints.restore(9, template)


def test_a_checkpoint_of_another_network_is_refused_with_the_difference(
    directory, parts, tiny_net, mesh
):
    """It is no damage: nothing is set aside, and no older checkpoint is tried."""
    _, *rest = parts
    other = abstract_state(make_init(tiny_net(width=12), *rest, ema=True, mesh=mesh))
    with (
        Checkpoints(directory, Retention(2)) as checkpoints,
        pytest.raises(UsageError) as raised,
    ):
        restore_newest(checkpoints, other)
    message = str(raised.value)
    assert "/9 does not fit this config: ema/batch_stats/norm/mean is float32[8] there" in message
    assert message.count(" there and ") == 3
    assert "more; use another workdir" in message
    assert len(message) < 600
    assert {path.name for path in directory.iterdir()} == {"5", "9"}


def test_float32_is_restored_for_bfloat16_compute_and_refused_for_bfloat16_parameters(
    directory, states, tiny_net, parts, mesh
):
    _, optimizer, task, shape = parts
    template = abstract_state(
        make_init(tiny_net(dtype=jnp.bfloat16), optimizer, task, shape, ema=True, mesh=mesh)
    )
    with Checkpoints(directory, Retention(2)) as checkpoints:
        (state, _), _ = restore_newest(checkpoints, template)
        assert_identical(state, states[9])
        halves = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16, sharding=leaf.sharding),
            template.params,
        )
        with pytest.raises(UsageError, match=r"is float32\[8\] there and bfloat16\[8\] here"):
            restore_newest(checkpoints, dataclasses.replace(template, params=halves))


def listing(directory):
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


def assert_identical(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))
