"""Runs on real Ray clusters: one that the launcher starts, and one of two nodes, of which one dies."""

import contextlib
import dataclasses
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chanattn.errors import UsageError
from chanattn.files import write_json
from chanattn.runs.metrics_log import read_metrics
from chanattn.sweep import grid, store
from chanattn.sweep.controller import Controller
from chanattn.sweep.launchers import ray as ray_launcher
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.ray import Ray
from chanattn.training.config import from_json
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the ray extra is not installed"
)
ACTOR = Path(__file__).parent / "acting_worker.py"
PATIENCE = 120.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a worker that needs no JAX in the place of the real one; a variant's name is its role."""
    monkeypatch.setattr(ray_launcher, "PROGRAM", (sys.executable, str(ACTOR)))


def job(sweep: Path, role: str, seed: int = 0) -> Job:
    place = Path(role) / f"seed{seed}"
    config = sweep / "jobs" / f"{place}.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    write_json(config, {"platform": "cpu", "cpu_devices": 0, "kernels": "", "deterministic": False})
    return Job(role, seed, config, sweep / "runs" / place)


def starts(one: Job) -> str:
    """Numbers of the processes that have begun the run."""
    path = one.workdir / "starts"
    return path.read_text() if path.exists() else ""


def wait_for(launcher: Ray, count: int) -> list[Ended]:
    found: list[Ended] = []
    until(lambda: found.extend(launcher.poll()) or len(found) >= count)
    return found


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_this_machine_computes_stops_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    launcher = Ray(cpus=0.5)
    try:
        assert signal.getsignal(signal.SIGTERM) == on_sigterm
        (node,) = launcher._ray.nodes()
        assert node["NodeManagerAddress"] == "127.0.0.1"
        codes = [job(tmp_path, role) for role in ("0", "1", "2")]
        for one in codes:
            launcher.submit(one)
        assert {ended.job: ended.code for ended in wait_for(launcher, 3)} == dict(
            zip(codes, (0, 1, 2), strict=True)
        )
        assert (codes[0].workdir / "output.log").read_text() == "the worker speaks\n"

        one_by_one = [job(tmp_path, "quick", seed) for seed in range(2)]
        for one in one_by_one:
            launcher.submit(one)
            assert wait_for(launcher, 1) == [Ended(one, 0)]
        assert starts(one_by_one[0]) == starts(one_by_one[1])

        killed = job(tmp_path, "long")
        launcher.submit(killed)
        until(lambda: starts(killed))
        assert launcher.running() == [killed]
        os.kill(int(starts(killed)), signal.SIGKILL)
        assert wait_for(launcher, 1) == [Ended(killed, None, "killed by SIGKILL")]

        stopped = job(tmp_path, "long", 1)
        launcher.submit(stopped)
        until(lambda: starts(stopped))
    finally:
        launcher.close()
    assert len((stopped.workdir / "saves").read_text().splitlines()) == 1
    assert launcher.running() == []


@pytest.fixture
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of two nodes with one core each, and the node that may be lost."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 80 * 2**20,
        "node_ip_address": "127.0.0.2",  # 127.0.0.1 is taken for the address of the network
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield cluster, cluster.add_node(**node)
    finally:
        cluster.shutdown()


def prepare(folder: Path, cache: Path) -> list[Job]:
    """Writes a sweep of one variant and two seeds, and returns its runs."""
    file = f"{Path(__file__).parent / 'tiny_sweep.py'}:200"
    recipe, sweep = grid.load(file)
    recipe.checkpoint_every = recipe.eval_every = 20
    store.write(folder, recipe, sweep, (0, 1), name="tiny", file=file)
    return [dataclasses.replace(store.job(folder, "se_r4", seed), cache=cache) for seed in (0, 1)]


def numbers(one: Job) -> list[dict[str, float]]:
    """All that a run has measured, without what depends on the clock."""
    return [
        {
            name: value
            for name, value in line.items()
            if name != "time" and not name.endswith("_per_second")
        }
        for line in read_metrics(one.workdir)
    ]


def saved(one: Job) -> bool:
    checkpoints = one.workdir / "checkpoints"
    return checkpoints.is_dir() and any(entry.name.isdigit() for entry in checkpoints.iterdir())


def signal_worker(one: Job, what: signal.Signals) -> None:
    """Sends a signal to the process that trains a run, if there is one."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(
            OSError
        ):  # it may have ended; a name that is no number has no file
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if any(str(one.workdir).encode() in argument for argument in arguments):
                os.kill(int(entry.name), what)


@needs_ray
@pytest.mark.slow
# Of JAX, which an earlier test may have started; what Ray forks becomes another program at once.
@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")
def test_a_node_that_dies_loses_nothing(
    two_nodes: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster, node = two_nodes
    jobs, undisturbed = (prepare(tmp_path / name, tmp_path / "cache") for name in ("a", "b"))
    told: list[tuple[str, Job, str]] = []
    lost: list[bool] = []
    held: list[Job] = []  # so that no run ends before the other has begun
    launcher = Ray(cluster.address)

    def lose_a_node() -> None:
        if lost:
            return
        for one in jobs:
            if one not in held and saved(one):
                signal_worker(one, signal.SIGSTOP)
                held.append(one)
        if len(held) == len(jobs):
            assert set(launcher.running()) == set(jobs)
            cluster.remove_node(node, allow_graceful=False)
            lost.append(True)
            for one in jobs:
                signal_worker(one, signal.SIGCONT)

    try:
        controller = Controller(jobs, launcher, lambda *what: told.append(what))
        assert controller.run(lambda: False, lose_a_node)
    finally:
        launcher.close()
    assert lost
    again = [(one, detail) for what, one, detail in told if what == "again"]
    assert len(again) == 1
    assert "node" in again[0][1]
    assert [what for what, *_ in told].count("done") == len(jobs)

    for one, other in zip(jobs, undisturbed, strict=True):
        config = from_json(other.config.read_text())
        config.checkpoint_every = config.steps  # which changes no number
        train_and_evaluate(config, other.workdir)
        assert numbers(one) == numbers(other)


@needs_ray
def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="no Ray cluster at --ray_address=127.0.0.1:9"):
        Ray("127.0.0.1:9")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[ray\]'"):
        Ray()


def test_an_actor_that_fails_before_it_has_a_run_costs_one_that_waits_or_nothing(tmp_path) -> None:
    """Nothing waits once the last run has been stopped, and its actor may fail after that."""

    class FakeRay:
        class exceptions:
            RayError = RayTaskError = RuntimeError

        def get(self, answer: object) -> None:
            raise RuntimeError("no such file")

        def kill(self, handle: object) -> None:
            pass

    launcher = Ray.__new__(Ray)
    launcher._ray = FakeRay()
    waits = job(tmp_path, "0")
    for queue, expected in (([waits], Ended(waits, None, "no such file")), ([], None)):
        launcher._queue = queue
        actor: Any = SimpleNamespace(job=None, handle=None)
        launcher._actors = [actor]
        assert launcher._answered(actor, "ready") == expected
        assert launcher._actors == launcher._queue == []
