"""Two trainings never share a run directory."""

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chanattn.errors import UsageError
from chanattn.training.lock import LOCK, exclusive, is_held

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with exclusive(run), pytest.raises(UsageError, match="another process is training in"):
        exclusive(run).__enter__()
    with exclusive(run):
        pass


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError, match="another process is training in"):
            exclusive(tmp_path).__enter__()
        holder.kill()
    time.sleep(0.1)
    with exclusive(tmp_path):
        pass


def test_whoever_looks_at_a_lock_keeps_no_training_from_taking_it(tmp_path: Path) -> None:
    """A sweep looks at the directory in the instant in which `train.py` starts there."""
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path)  # two that look do not see each other
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with exclusive(tmp_path):
            assert is_held(tmp_path)
    assert not is_held(tmp_path)
