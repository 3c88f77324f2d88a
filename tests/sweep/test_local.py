"""Worker processes: how they end, what they are given, and that none outlives the sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chanattn.cli import PREEMPTED
from chanattn.sweep import machine, staying
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.launchers.local import Local
from tests.conftest import ROOT

ACTING = ROOT / "tests" / "sweep" / "acting_worker.py"
# A worker that obeys the pipe at its standard input as the real one does, and a sweep that is killed.
TETHERED = """
import os, sys, threading
from chanattn.sweep.worker import _stop_with_the_parent
threading.Thread(target=_stop_with_the_parent, daemon=True).start()
sys.argv = ["acting", sys.argv[1], "long"]
exec(open({acting!r}).read())
"""
PARENT = """
import sys, time
from pathlib import Path
from chanattn.sweep import staying
from chanattn.sweep.launchers import local
from chanattn.sweep.launchers.base import Job
folder = Path(sys.argv[1])
staying.command = lambda job, *pipes: [sys.executable, "-c", {tethered!r}, str(folder)]
launcher = local.Local([{{}}])
launcher.submit(Job("a", 0, folder / "config.json", folder))
time.sleep(60)
"""


@pytest.fixture
def roles(monkeypatch, tmp_path: Path):
    """Jobs whose stand-in workers play the roles that their variants name."""
    monkeypatch.setattr(
        staying,
        "command",
        lambda job, *pipes: [sys.executable, str(ACTING), str(job.workdir), job.variant],
    )
    return lambda role, seed=0: Job(role, seed, tmp_path / "c.json", tmp_path / f"{role}-{seed}")


def until(condition, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def noted(folder: Path, what: str) -> str:
    """What the worker has noted, once it is there: a file that is made is empty at first."""
    return until(lambda: (folder / what).exists() and (folder / what).read_text())


def test_exit_codes_and_signals_are_told(roles) -> None:
    launcher = Local([{}] * 3)
    jobs = [roles("0"), roles("1"), roles("long")]
    for job in jobs:
        launcher.submit(job)
    os.kill(int(noted(jobs[2].workdir, "starts")), signal.SIGKILL)
    ended = []
    until(lambda: ended.extend(launcher.poll()) or len(ended) == 3)
    assert {end.job.variant: (end.code, end.detail) for end in ended} == {
        "0": (0, ""),
        "1": (1, ""),
        "long": (None, "killed by SIGKILL"),
    }
    assert (jobs[1].workdir / "output.log").read_text() == "the worker speaks\n"
    launcher.close()


def test_no_more_run_than_there_are_places(roles) -> None:
    launcher = Local([{}])
    first, second = roles("long", 0), roles("long", 1)
    launcher.submit(first)
    launcher.submit(second)
    assert launcher.running() == [first]
    noted(first.workdir, "starts")
    launcher.close()
    assert (first.workdir / "saves").exists()  # it was asked to stop, and waited for
    assert not second.workdir.exists()
    assert launcher.running() == []


def test_a_worker_saves_and_stops_when_the_sweep_is_killed(tmp_path: Path) -> None:
    tethered = TETHERED.format(acting=str(ACTING))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(tethered=tethered), str(tmp_path)], cwd=ROOT
    )
    noted(tmp_path, "starts")
    parent.kill()
    parent.wait()
    noted(tmp_path, "saves")
    worker = int(noted(tmp_path, "starts"))
    until(lambda: not Path(f"/proc/{worker}").exists())


def test_a_worker_that_is_told_to_stop_gets_one_signal(roles, monkeypatch) -> None:
    """Its lifeline closes a moment later, when the sweep ends, while it saves."""
    tethered = TETHERED.format(acting=str(ACTING))
    monkeypatch.setattr(
        staying, "command", lambda job, *pipes: [sys.executable, "-c", tethered, str(job.workdir)]
    )
    launcher, job = Local([{}]), roles("long")
    launcher.submit(job)
    noted(job.workdir, "starts")
    launcher.stop(job)
    noted(job.workdir, "signals")
    worker = launcher._places[0]._worker._watch._worker
    worker.stdin.close()
    worker.wait()
    assert len((job.workdir / "signals").read_text().splitlines()) == 1
    launcher.close()


def test_cores_are_shared_among_the_workers(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_accelerators", lambda: ("cpu", 0))
    own = [0, 1, 2, 3, 8, 9, 10, 11]
    monkeypatch.setattr(machine, "core_numbers", lambda: own)
    monkeypatch.setattr(machine, "usable_cores", lambda: len(own))
    monkeypatch.setattr(machine, "_memory", lambda: 64 * 2**30)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.places("auto") == [
        {"OMP_NUM_THREADS": "1", "CHANATTN_CORES": str(core)} for core in own
    ]
    assert machine.places("cpu", 2) == [
        {"OMP_NUM_THREADS": "4", "CHANATTN_CORES": "0,1,2,3"},
        {"OMP_NUM_THREADS": "4", "CHANATTN_CORES": "8,9,10,11"},
    ]
    # A core would be left to nobody, or be shared: none is anybody's own.
    assert machine.places("auto", 3) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert machine.places("auto", 16) == [{"OMP_NUM_THREADS": "1"}] * 16
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert machine.places("auto", 2) == [{"OMP_NUM_THREADS": "1"}] * 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(machine, "_memory", lambda: 5 * 2**30)
    assert len(machine.places("auto")) == 2


def test_a_container_has_workers_for_its_share_of_the_cores_and_of_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_accelerators", lambda: ("cpu", 0))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "core_numbers", lambda: list(range(64)))
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine.limits, "memory", lambda: 64 * 2**30)
    monkeypatch.setattr(machine.os, "sysconf", lambda _: 2**20)  # a terabyte
    # Which of the cores is idle, Linux knows.
    assert machine.places("auto") == [{"OMP_NUM_THREADS": "1"}] * 4
    assert machine.places("auto", 2) == [{"OMP_NUM_THREADS": "2"}] * 2
    assert machine.places("auto", 64) == [{"OMP_NUM_THREADS": "1"}] * 64
    monkeypatch.setattr(machine.limits, "memory", lambda: 5 * 2**30)
    assert machine.places("auto") == [{"OMP_NUM_THREADS": "2"}] * 2


def test_each_worker_has_a_gpu_and_more_workers_share_its_memory(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_accelerators", lambda: ("gpu", 2))
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert machine.places("auto") == [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "7"}]
    shared = machine.places("gpu", 4)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in shared] == ["4", "7", "4", "7"]
    assert {place["XLA_PYTHON_CLIENT_MEM_FRACTION"] for place in shared} == {"0.450"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in machine.places("auto")] == ["0", "1"]


def test_a_machine_with_gpus_trains_on_the_cpu_if_told_to(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_accelerators", lambda: pytest.fail("asked for accelerators"))
    assert "OMP_NUM_THREADS" in machine.places("cpu", 1)[0]


STAYING = """
import json, os, sys
from pathlib import Path
folder, jobs, done = Path(sys.argv[1]), os.fdopen(int(sys.argv[2])), int(sys.argv[3])
while True:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "process").write_text(str(os.getpid()))
    if folder.name.startswith("fails"):
        sys.exit(1)
    os.write(done, b"." if folder.name.startswith("grows") else b"!")
    if not (line := jobs.readline()):
        sys.exit(0)
    folder = Path(json.loads(line)["workdir"])
"""


@pytest.fixture
def stays(monkeypatch, tmp_path: Path):
    """Jobs whose stand-in workers stay; with what a process must have been started for."""

    def command(job: Job, *pipes: object) -> list[str]:
        return [sys.executable, "-c", STAYING, str(job.workdir), *map(str, pipes[:2])]

    monkeypatch.setattr(staying, "command", command)

    def job(variant: str, seed: int = 0, **changes: object) -> Job:
        fields = {"platform": "cpu", "cpu_devices": 0, "kernels": "auto", "deterministic": False}
        config = tmp_path / f"{variant}-{seed}.json"
        config.write_text(json.dumps(fields | changes))
        return Job(variant, seed, config, tmp_path / f"{variant}-{seed}")

    return job


def computed(launcher: Local, jobs: list[Job]) -> dict[str, str]:
    """Which process computed which job, by its name."""
    for job in jobs:
        launcher.submit(job)
    ended = []
    until(lambda: ended.extend(launcher.poll()) or len(ended) == len(jobs))
    launcher.close()
    codes = {end.job.name: end.code for end in ended}
    assert codes == {job.name: int(job.variant.startswith("fails")) for job in jobs}
    return {job.name: (job.workdir / "process").read_text() for job in jobs}


def test_one_process_computes_run_after_run_until_one_fails(stays) -> None:
    jobs = [stays("a"), stays("b"), stays("a", 1), stays("fails"), stays("b", 2)]
    by = computed(Local([{}]), jobs)
    assert by["a/seed0"] == by["b/seed0"] == by["fails/seed0"] == by["a/seed1"] != by["b/seed2"]


def test_the_wait_for_a_run_ends_with_the_run(stays) -> None:
    launcher = Local([{}])
    launcher.submit(stays("a"))
    begun = time.monotonic()
    launcher.wait(60)
    assert time.monotonic() - begun < 30
    assert [end.job.name for end in launcher.poll()] == ["a/seed0"]
    launcher.wait(0.2)  # nothing is to come
    assert 0.2 <= time.monotonic() - begun < 30
    launcher.close()


def test_a_worker_that_leaves_behind_a_run_is_replaced(stays) -> None:
    by = computed(Local([{}]), [stays("a"), stays("grows"), stays("b"), stays("b", 1)])
    assert by["a/seed0"] == by["grows/seed0"] != by["b/seed0"] == by["b/seed1"]


def test_a_worker_takes_the_variant_that_it_has_compiled(stays) -> None:
    jobs = [stays(variant, seed) for seed in range(2) for variant in ("a", "b")]
    launcher = Local([{}, {}])
    for job in jobs[:2]:
        launcher.submit(job)
    until(lambda: launcher.poll() is not None and not launcher.running())  # both wait
    for job in reversed(jobs[2:4]):
        launcher.submit(job)
    until(lambda: launcher.poll() is not None and not launcher.running())
    launcher.close()
    by = {job.name: (job.workdir / "process").read_text() for job in jobs[:4]}
    assert by["a/seed0"] == by["a/seed1"] != by["b/seed0"] == by["b/seed1"]


def test_a_run_waits_for_the_process_that_gives_way_to_its_own_and_can_be_stopped_meanwhile(
    stays,
) -> None:
    launcher = Local([{}])
    launcher.submit(stays("a"))
    until(lambda: launcher.poll() is not None and not launcher.running())
    stopped, other = stays("b", kernels="xla"), stays("c")
    launcher.submit(stopped)
    assert launcher.running() == [stopped]
    launcher.submit(other)
    launcher.stop(stopped)
    ended = []
    until(lambda: ended.extend(launcher.poll()) or len(ended) == 2)
    launcher.close()
    assert [(end.job, end.code) for end in ended] == [(stopped, PREEMPTED), (other, 0)]
    assert not stopped.workdir.exists()


def test_what_jax_must_be_started_for_anew_gets_another_process(stays) -> None:
    by = computed(
        Local([{}]), [stays("a"), stays("b", kernels="xla"), stays("b", 1, kernels="xla")]
    )
    assert by["a/seed0"] != by["b/seed0"] == by["b/seed1"]
