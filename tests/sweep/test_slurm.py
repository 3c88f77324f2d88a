"""Runs as jobs of a real Slurm where there is one, and as processes that act as jobs everywhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from absl.testing import flagsaver

from chanattn.errors import UsageError
from chanattn.sweep.launchers import slurm
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm import Slurm
from chanattn.sweep.launchers.slurm_queue import Refused, Request

ACTOR = Path(__file__).parent / "acting_worker.py"
# Slurm starts a job within a second on an idle node, but one that is requeued only when its old
# credential has expired: after 2 minutes, or what AuthInfo=cred_expire=SECONDS in slurm.conf says.
PATIENCE = 200.0


def slurm_works() -> bool:
    """Whether this machine belongs to a Slurm cluster whose controller answers."""
    if shutil.which("sbatch") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["local", "slurm"])
def executor(request: pytest.FixtureRequest) -> str:
    if request.param == "slurm" and not slurm_works():
        pytest.skip("no Slurm answers on this machine")
    return request.param


@pytest.fixture
def start(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Slurm]]:
    """Makes launchers for one sweep, in which the name of a variant is the worker's role."""
    monkeypatch.setattr(
        slurm, "command", lambda job: [sys.executable, str(ACTOR), str(job.workdir), job.variant]
    )
    launchers = []

    def make() -> Slurm:
        launchers.append(Slurm(tmp_path, Request(minutes=5), executor, every=0.2, slow_files=1.0))
        return launchers[-1]

    yield make
    for launcher in launchers:
        launcher.close()


def job(sweep: Path, role: str, seed: int = 0) -> Job:
    place = Path(role) / f"seed{seed}"
    return Job(role, seed, sweep / "jobs" / f"{place}.json", sweep / "runs" / place)


def wait_for(launcher: Slurm, count: int = 1) -> list[Ended]:
    """Polls as the controller does, until so many jobs have ended."""
    found: list[Ended] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found} ended"
        found.extend(launcher.poll())
        time.sleep(0.1)
    return found


def until(condition: Callable[[], object], launcher: Slurm | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        if launcher is not None:
            assert launcher.poll() == []
        time.sleep(0.1)


def lines(workdir: Path, what: str) -> list[str]:
    path = workdir / what
    return path.read_text().splitlines() if path.exists() else []


def number_at_slurm(launcher: Slurm, one: Job) -> str:
    return launcher._numbers[one]


def outcomes(one: Job) -> list[Path]:
    """What the jobs of a run have left."""
    return list((one.workdir.parents[2] / "slurm" / one.name).glob("*.json"))


def announce_the_end(executor: str, launcher: Slurm, one: Job) -> None:
    """Does what happens some time before a job's time is up."""
    if executor == "slurm":
        subprocess.run(["scancel", "--signal=USR2", number_at_slurm(launcher, one)], check=True)
    else:
        os.kill(int(number_at_slurm(launcher, one)), signal.SIGUSR2)


def test_exit_codes_and_output_come_back(tmp_path: Path, start: Callable[[], Slurm]) -> None:
    launcher = start()
    jobs = [job(tmp_path, role) for role in ("0", "1", "2")]
    for one in jobs:
        launcher.submit(one)
    assert {ended.job: ended.code for ended in wait_for(launcher, 3)} == dict(
        zip(jobs, (0, 1, 2), strict=True)
    )
    assert (jobs[0].workdir / "output.log").read_text() == "the worker speaks\n"
    assert list((tmp_path / "slurm" / "0" / "seed0").glob("*.log"))


@pytest.mark.parametrize(("role", "saves"), [("twice", 1), ("young", 0)])
def test_a_job_whose_time_is_up_saves_if_it_can_and_is_queued_again_under_its_number(
    tmp_path: Path, executor: str, start: Callable[[], Slurm], role: str, saves: int
) -> None:
    launcher, one = start(), job(tmp_path, role)
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    number = number_at_slurm(launcher, one)
    announce_the_end(executor, launcher, one)
    assert wait_for(launcher) == [Ended(one, 0)]
    assert len(lines(one.workdir, "starts")) == 2
    assert len(lines(one.workdir, "saves")) == saves
    assert [path.stem for path in outcomes(one)] == [number]


def test_a_job_that_loses_its_node_in_good_time_is_queued_again(
    tmp_path: Path, executor: str, start: Callable[[], Slurm]
) -> None:
    if executor == "local":
        pytest.skip("processes of this machine have no node to lose")
    launcher, one = start(), job(tmp_path, "twice")
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    # Preemption with a time of grace is SIGTERM to all processes of a job that keeps running.
    subprocess.run(["scancel", "--signal=TERM", number_at_slurm(launcher, one)], check=True)
    assert wait_for(launcher) == [Ended(one, 0)]
    assert len(lines(one.workdir, "saves")) == 1
    assert len(outcomes(one)) == 1


def test_a_new_process_of_the_sweep_takes_up_the_job_that_the_old_one_left(
    tmp_path: Path, executor: str, start: Callable[[], Slurm]
) -> None:
    one = job(tmp_path, "twice")
    killed = start()
    killed.submit(one)
    until(lambda: lines(one.workdir, "starts"))
    launcher = start()
    launcher.submit(one)
    assert number_at_slurm(launcher, one) == number_at_slurm(killed, one)
    until(lambda: launcher.running() == [one], launcher)
    assert len(lines(one.workdir, "starts")) == 1
    announce_the_end(executor, launcher, one)
    assert wait_for(launcher) == [Ended(one, 0)]


def test_closing_lets_jobs_save_and_leaves_none_behind(
    tmp_path: Path, start: Callable[[], Slurm]
) -> None:
    launcher = start()
    jobs = [job(tmp_path, "long", seed) for seed in range(2)]
    for one in jobs:
        launcher.submit(one)
    until(lambda: all(lines(one.workdir, "starts") for one in jobs), launcher)
    launcher.close()
    assert launcher.running() == []
    assert [len(lines(one.workdir, "saves")) for one in jobs] == [1, 1]
    entries = launcher._queue.entries(fresh=True)
    assert entries is not None
    assert not [entry for entry in entries if entry.alive]


def test_a_job_that_is_killed_is_reported_without_a_code(
    tmp_path: Path, start: Callable[[], Slurm]
) -> None:
    launcher, one = start(), job(tmp_path, "long")
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    (worker,) = lines(one.workdir, "starts")
    status = Path(f"/proc/{worker}/status").read_text()
    (task,) = re.findall(r"^PPid:\s*(\d+)", status, re.MULTILINE)
    for process in (task, worker):
        os.kill(int(process), signal.SIGKILL)
    (ended,) = wait_for(launcher)
    assert ended.code is None
    assert ended.detail


def test_a_job_whose_worker_hangs_ends_by_itself(
    tmp_path: Path, start: Callable[[], Slurm]
) -> None:
    launcher, one = start(), job(tmp_path, "hangs")
    launcher._stall = 1.0
    launcher.submit(one)
    assert wait_for(launcher) == [Ended(one, None, "no progress for 1 s")]


def test_more_jobs_than_slurm_takes_wait_their_turn(
    tmp_path: Path, executor: str, start: Callable[[], Slurm], monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = start()
    launcher.submit(job(tmp_path, "0"))
    real = launcher._queue.submit
    refusals = [1, 1]

    def submit(*arguments: Any) -> str:
        if refusals:
            refusals.pop()
            raise Refused("QOSMaxSubmitJobPerUserLimit")
        return real(*arguments)

    monkeypatch.setattr(launcher._queue, "submit", submit)
    monkeypatch.setattr(slurm, "_RETRY_SUBMISSION", 0.1)
    second = job(tmp_path, "0", 1)
    launcher.submit(second)
    assert {ended.job.name for ended in wait_for(launcher, 2)} == {"0/seed0", "0/seed1"}


def test_what_slurm_refuses_is_said_in_one_line(
    tmp_path: Path, executor: str, start: Callable[[], Slurm]
) -> None:
    if executor == "local":
        pytest.skip("processes of this machine know no partitions")
    launcher = Slurm(tmp_path, Request(partition="no_such_partition"))
    with pytest.raises(UsageError, match="Slurm refuses the job: .*Invalid partition"):
        launcher.submit(job(tmp_path, "0"))


def test_a_request_becomes_options_of_sbatch_and_commands_around_the_job() -> None:
    options = {
        "account": "vision",
        "signal-delay-s": "120",
        "exclusive": "",
        "licenses": "a:1",
        "comment": "a=",
    }
    shell = {"setup": "module load cuda", "teardown": "rm -r $TMP"}
    request = Request("gpu", minutes=90, gpus=1, cpus=8, memory="32G", options={**options, **shell})
    words, script = request.sbatch(["python", "a b"])
    assert set(words) == {
        *("--nodes=1", "--time=90", "--cpus-per-task=8", "--partition=gpu", "--gpus-per-node=1"),
        *("--mem=32G", "--account=vision", "--signal=USR2@120", "--exclusive", "--licenses=a:1"),
        *("--requeue", "--open-mode=append", "--comment=a="),
    }
    lines = script.splitlines()
    assert lines.index(shell["setup"]) < lines.index(
        "srun --cpus-per-task=$SLURM_CPUS_PER_TASK python 'a b'"
    )
    assert lines[-2:] == [shell["teardown"], "exit $code"]


def test_a_slurm_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # with sbatch and without squeue
    with pytest.raises(UsageError, match="Slurm does not answer"):
        Slurm(tmp_path, Request())


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown Slurm executor 'pbs'"):
        Slurm(tmp_path, Request(), "pbs")


def test_processes_that_act_as_jobs_are_seen_in_a_folder_that_is_no_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        slurm, "command", lambda job: [sys.executable, str(ACTOR), str(job.workdir), job.variant]
    )
    sweep = tmp_path / os.fsdecode(b"nu\xff")
    launcher, one = Slurm(sweep, Request(minutes=5), "local"), job(sweep, "long")
    try:
        launcher.submit(one)
        until(lambda: lines(one.workdir, "starts"))
        assert list(launcher.running()) == [one]
    finally:
        launcher.close()


def test_flags_that_mean_nothing_to_this_machine_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"executor": "local", "time": "5", "gpus": "0", "cpus": "2", "memory": "8G"}
    given |= {"partition": "gpu", "option": ["qos=high"]}
    with flagsaver.as_parsed(**{f"slurm_{name}": value for name, value in given.items()}):
        slurm.launch(tmp_path, "cpu", parallel=1, stall=0.0).close()
    told = capsys.readouterr()
    idle = "--slurm_partition, --slurm_cpus, --slurm_memory, --slurm_option"
    assert f"take no notice of {idle}\n" in told.out + told.err
    with (
        flagsaver.as_parsed(slurm_option=["=v"]),
        pytest.raises(UsageError, match="--slurm_option needs a name: KEY=VALUE or KEY"),
    ):
        slurm.launch(tmp_path, "cpu", parallel=1, stall=0.0)
