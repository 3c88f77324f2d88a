"""Runs as jobs of a real Slurm where there is one, and as processes that act as jobs everywhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from absl.testing import flagsaver
from small_runs import outcome, tiny_config

from chanattn import models
from chanattn.cli import PREEMPTED
from chanattn.errors import UsageError
from chanattn.files import write_json
from chanattn.runs.config import Config
from chanattn.sweep.launchers import slurm, slurm_queue
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.slurm import Slurm
from chanattn.sweep.launchers.slurm_queue import Entry, Refused, Request
from chanattn.sweep.launchers.slurm_runs import Runs
from chanattn.sweep.place import Place
from chanattn.sweep.staying import Staying
from chanattn.training.loop import train_and_evaluate
from tests.training.conftest import TinyNet

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
) -> Iterator[Callable[..., Slurm]]:
    """Makes launchers for one sweep, in which the name of a variant is the worker's role."""
    monkeypatch.setattr(slurm, "PROGRAM", (sys.executable, str(ACTOR)))
    launchers = []

    def make(parallel: int = 0) -> Slurm:
        request = Request(minutes=5)
        launchers.append(
            Slurm(tmp_path, request, executor, parallel=parallel, every=0.2, slow_files=1.0)
        )
        return launchers[-1]

    yield make
    for launcher in launchers:
        launcher.close()


def job(sweep: Path, role: str, seed: int = 0) -> Job:
    place = Path(role) / f"seed{seed}"
    config = sweep / "jobs" / f"{place}.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    write_json(config, {"platform": "cpu", "cpu_devices": 0, "kernels": "", "deterministic": False})
    return Job(role, seed, config, sweep / "runs" / place)


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
    """Of the job that has taken a run."""
    return launcher._runs.states()[launcher._runs.name(one)]


def begun(sweep: Path) -> set[str]:
    """Numbers of all jobs so far."""
    return {path.name.partition("@")[2] for path in (sweep / "slurm" / "runs").glob("begun@*")}


def logs(sweep: Path) -> list[Path]:
    return list((sweep / "slurm").glob("*.log"))


def announce_the_end(executor: str, launcher: Slurm, one: Job) -> None:
    """Does what happens some time before a job's time is up."""
    if executor == "slurm":
        subprocess.run(["scancel", "--signal=USR2", number_at_slurm(launcher, one)], check=True)
    else:
        os.kill(int(number_at_slurm(launcher, one)), signal.SIGUSR2)


def test_exit_codes_and_output_come_back(tmp_path: Path, start: Callable[..., Slurm]) -> None:
    launcher = start()
    jobs = [job(tmp_path, role) for role in ("0", "1", "2")]
    for one in jobs:
        launcher.submit(one)
    assert {ended.job: ended.code for ended in wait_for(launcher, 3)} == dict(
        zip(jobs, (0, 1, 2), strict=True)
    )
    assert (jobs[0].workdir / "output.log").read_text() == "the worker speaks\n"
    assert any("0/seed0: exit code 0" in path.read_text() for path in logs(tmp_path))


@pytest.mark.parametrize(("role", "saves"), [("twice", 1), ("young", 0)])
def test_a_job_whose_time_is_up_saves_if_it_can_and_is_queued_again_under_its_number(
    tmp_path: Path, executor: str, start: Callable[..., Slurm], role: str, saves: int
) -> None:
    launcher, one = start(), job(tmp_path, role)
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    number = number_at_slurm(launcher, one)
    announce_the_end(executor, launcher, one)
    assert wait_for(launcher) == [Ended(one, 0)]
    assert begun(tmp_path) == {number}
    assert len(lines(one.workdir, "starts")) == 2
    assert len(lines(one.workdir, "saves")) == saves


def test_a_job_that_loses_its_node_in_good_time_is_queued_again(
    tmp_path: Path, executor: str, start: Callable[..., Slurm]
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


def test_a_new_process_of_the_sweep_takes_up_the_job_that_the_old_one_left(
    tmp_path: Path, executor: str, start: Callable[..., Slurm]
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
    tmp_path: Path, start: Callable[..., Slurm]
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


def test_a_job_computes_run_after_run_in_one_process_until_one_fails(
    tmp_path: Path, start: Callable[..., Slurm]
) -> None:
    launcher = start(parallel=1)
    jobs = [job(tmp_path, role, seed) for seed, role in enumerate(("quick", "quick", "1", "quick"))]
    for one in jobs:
        launcher.submit(one)
    assert [ended.code for ended in wait_for(launcher, 4)] == [0, 0, 1, 0]
    by = [lines(one.workdir, "starts") for one in jobs]
    assert by[0] == by[1] == by[2] != by[3]
    assert len(begun(tmp_path)) == 1


def test_jobs_compute_what_waits_when_the_sweep_is_gone(
    tmp_path: Path, start: Callable[..., Slurm]
) -> None:
    launcher = start(parallel=1)
    jobs = [job(tmp_path, "quick", seed) for seed in range(2)]
    for one in jobs:
        launcher.submit(one)
    until(lambda: all(lines(one.workdir, "starts") for one in jobs))


def test_a_job_that_is_killed_costs_its_run_and_is_reported_without_a_code(
    tmp_path: Path, start: Callable[..., Slurm]
) -> None:
    launcher, one, other = start(parallel=1), job(tmp_path, "long"), job(tmp_path, "quick")
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    launcher.submit(other)
    (worker,) = lines(one.workdir, "starts")
    status = Path(f"/proc/{worker}/status").read_text()
    (task,) = re.findall(r"^PPid:\s*(\d+)", status, re.MULTILINE)
    for process in (task, worker):
        os.kill(int(process), signal.SIGKILL)
    ended = {each.job: each for each in wait_for(launcher, 2)}
    assert ended[one].code is None
    assert ended[one].detail
    assert ended[other].code == 0
    assert len(begun(tmp_path)) == 2


def test_a_job_whose_time_is_nearly_over_begins_no_run_and_is_queued_again_for_those_that_wait(
    tmp_path: Path, executor: str, start: Callable[..., Slurm], monkeypatch: pytest.MonkeyPatch
) -> None:
    if executor == "slurm":
        pytest.skip("the least limit of Slurm is a minute")
    monkeypatch.setattr(Request, "seconds", 5)
    launcher = start(parallel=1)
    jobs = [job(tmp_path, "short", seed) for seed in range(3)]
    for one in jobs:
        launcher.submit(one)
    wait_for(launcher, 3)
    assert len({*lines(jobs[0].workdir, "starts"), *lines(jobs[2].workdir, "starts")}) == 2
    assert not any(lines(one.workdir, "signals") for one in jobs)
    assert len(begun(tmp_path)) == 1


def test_a_run_is_stopped_and_its_job_goes_on_with_others(
    tmp_path: Path, start: Callable[..., Slurm]
) -> None:
    launcher, one, other = start(parallel=1), job(tmp_path, "long"), job(tmp_path, "quick")
    never = job(tmp_path, "quick", 1)
    launcher.submit(one)
    until(lambda: lines(one.workdir, "starts"), launcher)
    launcher.submit(never)
    launcher.submit(other)
    launcher.stop(never)
    launcher.stop(one)
    codes = {ended.job: ended.code for ended in wait_for(launcher, 3)}
    assert codes == {never: PREEMPTED, one: PREEMPTED, other: 0}
    assert not never.workdir.exists()
    assert len(begun(tmp_path)) == 1


def test_jobs_that_end_before_they_can_take_a_run_are_not_repeated_for_ever(
    tmp_path: Path, start: Callable[..., Slurm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_queue, "_JOB", "chanattn.no_such_program")
    launcher, one = start(), job(tmp_path, "quick")
    launcher.submit(one)
    (ended,) = wait_for(launcher)
    assert (ended.job, ended.code) == (one, None)
    assert "job " in ended.detail
    assert launcher.running() == []


def test_runs_of_one_job_end_as_in_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "PROGRAM", (sys.executable, "-m", "tests.sweep.tiny_worker"))
    monkeypatch.setattr(models, "from_config", lambda *_: TinyNet(dropout=0.2))
    config = tiny_config(log_every=2, eval_every=2, checkpoint_every=4)
    config.steps = 4
    launcher = Slurm(tmp_path, Request(minutes=5), "local", parallel=1)
    jobs = [job(tmp_path, "tiny", seed) for seed in range(2)]
    try:
        for one in jobs:
            config.seed = one.seed
            Config(config.to_dict()).write(one.config)
            launcher.submit(one)
        assert [ended.code for ended in wait_for(launcher, 2)] == [0, 0]
    finally:
        launcher.close()
    train_and_evaluate(config, tmp_path / "alone")
    assert outcome(jobs[1].workdir) == outcome(tmp_path / "alone")
    assert len(begun(tmp_path)) == 1


def test_a_job_whose_worker_hangs_ends_by_itself(
    tmp_path: Path, start: Callable[..., Slurm]
) -> None:
    launcher, one = start(), job(tmp_path, "hangs")
    launcher._stall = 1.0
    launcher.submit(one)
    assert wait_for(launcher) == [Ended(one, None, "no progress for 1 s")]


class Listed:
    """A queue whose jobs do what the test says."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.cancelled: list[tuple[set[str], bool]] = []

    def submit(self, arguments: Sequence[str]) -> str:
        number = str(len(self.states) + 1)
        self.states[number] = "PENDING"
        return number

    def entries(self, *, fresh: bool = False) -> list[Entry]:
        return [Entry(number, state) for number, state in self.states.items()]

    def cancel(self, numbers: Collection[str], *, begun: bool = True) -> None:
        if numbers:
            self.cancelled.append((set(numbers), begun))
            self.states |= dict.fromkeys(numbers, "CANCELLED")


def test_there_are_no_more_jobs_than_allowed_or_needed(tmp_path: Path) -> None:
    launcher = Slurm(tmp_path, Request(), "local", parallel=3, slow_files=0.0)
    queue = launcher._queue = Listed()
    jobs = [job(tmp_path, "quick", seed) for seed in range(5)]
    for one in jobs:
        launcher.submit(one)
    assert list(queue.states) == ["1", "2", "3"]
    queue.states["1"] = "RUNNING"
    runs = Runs(tmp_path / "slurm")
    place = Place(partial(Staying, variables={}, stall=0.0))
    runs.begin("1")
    for one in jobs[:3]:
        assert runs.take("1", place) == one
        runs.end("1", Ended(one, 0))
    assert {ended.job for ended in launcher.poll()} == set(jobs[:3])
    assert runs.take("1", place) == jobs[3]
    assert list(launcher.running()) == [jobs[3]]
    launcher.poll()
    assert queue.cancelled == [({"3"}, False)]
    queue.states["1"] = "NODE_FAIL"
    assert list(launcher.poll()) == [Ended(jobs[3], None, "job 1: NODE_FAIL")]
    assert len(queue.states) == 3


def test_more_jobs_than_slurm_takes_wait_their_turn(
    tmp_path: Path, executor: str, start: Callable[..., Slurm], monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, executor: str, start: Callable[..., Slurm]
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
    monkeypatch.setattr(slurm, "PROGRAM", (sys.executable, str(ACTOR)))
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
