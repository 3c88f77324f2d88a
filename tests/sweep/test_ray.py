"""Runs on real Ray clusters of this machine: one that the launcher starts, and one of two nodes that loses one."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chanattn.errors import UsageError
from chanattn.sweep import grid, store
from chanattn.sweep.controller import Controller
from chanattn.sweep.launchers import ray as ray_launcher
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.launchers.local import Local
from chanattn.sweep.launchers.ray import Ray
from chanattn.training.metrics_log import read_metrics
from tests.conftest import ROOT

needs_ray = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("ray"), reason="the ray extra is not installed"
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
    monkeypatch.setattr(
        ray_launcher,
        "command",
        lambda job: [sys.executable, str(ACTOR), str(job.workdir), job.variant],
    )


def job(sweep: Path, role: str, seed: int = 0) -> Job:
    place = Path(role) / f"seed{seed}"
    return Job(role, seed, sweep / "jobs" / f"{place}.json", sweep / "runs" / place)


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
    launcher = Ray(cpus=0.5)
    try:
        codes = [job(tmp_path, role) for role in ("0", "1", "2")]
        for one in codes:
            launcher.submit(one)
        assert {ended.job: ended.code for ended in wait_for(launcher, 3)} == dict(
            zip(codes, (0, 1, 2), strict=True)
        )
        assert (codes[0].workdir / "output.log").read_text() == "the worker speaks\n"

        killed = job(tmp_path, "long")
        launcher.submit(killed)
        until((killed.workdir / "starts").exists)
        assert launcher.running() == [killed]
        os.kill(int((killed.workdir / "starts").read_text()), 9)
        assert wait_for(launcher, 1) == [Ended(killed, None, "killed by SIGKILL")]

        stopped = job(tmp_path, "long", 1)
        launcher.submit(stopped)
        until((stopped.workdir / "starts").exists)
    finally:
        launcher.close()
    assert len((stopped.workdir / "saves").read_text().splitlines()) == 1
    assert launcher.running() == []
