"""Two trainings never share a run directory."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from chanattn.errors import UsageError
from chanattn.training.lock import LOCK, exclusive

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
