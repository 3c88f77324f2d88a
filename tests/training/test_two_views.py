"""Two processes that see different things on the disk that they share decide the same."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from chanattn.training import under_way
from chanattn.training.under_way import UnderWay

PROGRAM = Path(__file__).with_name("two_views.py")
ROOT = PROGRAM.parents[2]

DECIDED = """\
steps [1, 2, 3] latest 3
restored 2 {'step': 2} [3]
refused True
process 0 refuses
told to stop True
"""


def test_two_processes_with_different_views_of_the_disk_decide_the_same(tmp_path):
    """The second one lists other checkpoints, sees none as complete for a second, and cannot see damage."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, PROGRAM, address, str(number), tmp_path],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (output, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
        assert output.partition("\n")[2] == DECIDED, errors  # behind a line of Gloo
    assert sorted(path.name for path in (tmp_path / "lr[0.1]").iterdir()) == ["1", "2", "damaged-3"]


def test_several_processes_ask_each_other_every_few_steps_and_not_at_each(monkeypatch):
    """However rarely a run logs: Slurm kills 30 s after its SIGTERM."""

    class Told:
        asked = 0

        def received_anywhere(self):
            Told.asked += 1
            return True

    run = object.__new__(UnderWay)
    run._interrupt = Told()
    monkeypatch.setattr(under_way.jax, "process_count", lambda: 2)
    for start in range(1, 40):
        stopped = [step for step in range(start, start + 20) if run._stop_requested(step)]
        assert stopped[0] - start < 10
    assert Told.asked == 39 * 2
