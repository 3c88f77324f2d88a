"""Checkpoints that processes leave which are killed, have no room, may not write, or have other devices."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn.tasks.classification import Classification
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.folders import complete
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.state import abstract_state, make_init

SAVER = Path(__file__).with_name("saver.py")
ROOT = SAVER.parents[2]
CANNOT_MOUNT = 77


@pytest.fixture(scope="module")
def template(tiny_net, mesh):
    return abstract_state(
        make_init(tiny_net(), optax.adamw(0.1), Classification(), (6, 6, 3), ema=False, mesh=mesh)
    )


class Savers:
    """Starts processes that save one checkpoint after the other, see `saver.py`."""

    def __init__(self, folder):
        self._output = folder / "output"
        self._server = subprocess.Popen(
            [sys.executable, str(SAVER)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, directory, last_step, **options):
        """The process's identifier."""
        job = {"directory": str(directory), "output": str(self._output), "last_step": last_step}
        self._server.stdin.write(json.dumps(job | options) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self):
        """Exit code, stdout and stderr of the process that was started last."""
        code = int(self._server.stdout.readline())
        return code, *(Path(f"{self._output}.{name}").read_text() for name in ("out", "err"))

    def run(self, *arguments, **options):
        self.start(*arguments, **options)
        code, output, errors = self.wait()
        if code == CANNOT_MOUNT:
            pytest.skip("this process may not mount file systems")
        return code, output, errors

    def close(self):
        self._server.communicate()


@pytest.fixture(scope="module")
def savers(tmp_path_factory):
    savers = Savers(tmp_path_factory.mktemp("savers"))
    yield savers
    savers.close()


def newest_complete(directory):
    return max(complete(directory), default=0)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_a_process_killed_while_saving_leaves_a_good_checkpoint_every_time(
    savers, tmp_path, template, kills
):
    """At random moments; each next process finds the newest checkpoint as it was saved."""
    random = np.random.default_rng(kills)
    newest = 0
    for _ in range(kills):
        process = savers.start(tmp_path, 1_000_000)
        deadline = time.monotonic() + 60
        while newest_complete(tmp_path) <= newest:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))
        os.kill(process, signal.SIGKILL)
        assert savers.wait() == (-signal.SIGKILL, f"from {newest}\n", "")
        newest = newest_complete(tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        (state, values), damaged = restore_newest(checkpoints, template)
    assert damaged == []
    assert (int(state.step), values) == (newest, {"step": newest})
    for leaf in jax.tree.leaves(state.params):
        np.testing.assert_array_equal(leaf, np.full_like(leaf, newest))


def test_a_disk_that_fills_up_while_writing_ends_with_one_line(savers, tmp_path):
    """A file may grow to 256 bytes: the arrays do not fit, and no free space foretells it.

    Before the line, the writes that Orbax has given up may say so.
    """
    assert savers.run(tmp_path, 3) == (0, "from 0\n", "")
    code, output, errors = savers.run(tmp_path, 5, file_bytes=256)
    assert (code, output) == (1, "from 3\nkept 3\n"), errors
    line = errors.splitlines()[-1]
    assert "the checkpoint of step 4 could not be written" in line
    assert "step 3 is the last one there" in line
    assert savers.run(tmp_path, 5) == (0, "from 3\n", "")  # room was made


def test_a_full_disk_is_noticed_before_a_save(savers, tmp_path):
    """A disk of 3 MiB, of which a save wants 1 MiB free."""
    code, output, errors = savers.run(tmp_path, 1000, disk_bytes=3 * 2**20, keep=1000)
    assert code == 1
    assert len(errors.splitlines()) == 1, errors
    last = int(output.split()[-1])
    assert output == f"from 0\nkept {last}\n"
    assert last > 1
    assert f"the checkpoint of step {last + 1} could not be written" in errors
    assert "it needs 1.0 MiB and " in errors


def test_a_directory_mounted_read_only_is_refused_in_one_line(savers, tmp_path):
    assert savers.run(tmp_path, 1)[0] == 0
    code, output, errors = savers.run(tmp_path, 2, read_only=True)
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1, errors
    assert "cannot write to" in errors
    assert "Read-only file system" in errors


def test_eight_devices_and_one_read_each_others_checkpoints(savers, tmp_path, template):
    assert savers.run(tmp_path, 1, devices=8) == (0, "from 0\n", "")
    with Checkpoints(tmp_path, Retention(2)) as checkpoints:
        (state, values), damaged = restore_newest(checkpoints, template)
        assert (values, damaged) == ({"step": 1}, [])
        two = jax.tree.map(lambda leaf: jnp.full_like(leaf, 2), state)
        checkpoints.save(dataclasses.replace(two, step=jnp.int32(2)), {"step": 2})
    assert savers.run(tmp_path, 3, devices=8) == (0, "from 2\n", "")
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == [2, 3]
