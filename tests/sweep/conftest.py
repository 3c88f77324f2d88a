"""A launcher that trains nothing, and requests for sweeps that run on it."""

import dataclasses
import json
import time

import pytest
from ml_collections import ConfigDict

from chanattn.files import write_json
from chanattn.sweep import Sweep, grid, launchers
from chanattn.sweep.check import check
from chanattn.sweep.launchers.base import Ended
from chanattn.sweep.request import GridRequest
from tests.conftest import ROOT

TINY = ROOT / "tests" / "sweep" / "tiny_sweep.py"


class Acting:
    """Ends every job at the next `poll`, as its script says: exit codes by the name of the run, then 0."""

    def __init__(self, script=None):
        self.script = {name: list(codes) for name, codes in (script or {}).items()}
        self.submitted = []
        self.closed = False
        self._queue = []

    def submit(self, job):
        self.submitted.append(job.name)
        self._queue.append(job)

    def poll(self):
        ended = [self._end(job) for job in self._queue]
        self._queue.clear()
        return ended

    def wait(self, seconds):
        time.sleep(min(seconds, 0.02))

    def running(self):
        return list(self._queue)

    def close(self):
        self.closed = True
        self._queue.clear()

    def _end(self, job):
        codes = self.script.get(job.name, [])
        code = codes.pop(0) if codes else 0
        job.workdir.mkdir(parents=True, exist_ok=True)
        with (job.workdir / "output.log").open("a") as output:
            output.write(f"worker of {job.name}\nleaves with {code}\n")
        if code == 0:
            seed = json.loads(job.config.read_text())["seed"]
            final = {"test": {"top1": 0.9 + seed / 100}}
            write_json(job.workdir / "summary.json", {"steps": 40, "seconds": 8.0, "final": final})
        return Ended(job, code, "killed by SIGKILL" if code is None else "")


@pytest.fixture
def acting(monkeypatch):
    """The next sweeps run on this launcher, make no report and start no JAX."""
    launcher = Acting()
    monkeypatch.setattr(launchers, "create", lambda *_: launcher)
    monkeypatch.setattr(
        "chanattn.report.sweep_report.write_report", lambda folder: folder / "report.html"
    )
    return launcher


@pytest.fixture
def tiny() -> tuple[ConfigDict, Sweep]:
    """Recipe and grid of the tiny sweep."""
    return grid.load(str(TINY))


@pytest.fixture
def request_for(tiny, tmp_path):
    """Builds the request of a command line: fields of the grid by name, the others of `GridRequest`."""
    recipe, described = tiny

    def build(recipe=recipe, only=(), **changes):
        fields = {field.name for field in dataclasses.fields(Sweep)}
        changed = {name: changes.pop(name) for name in list(changes) if name in fields}
        wanted = dataclasses.replace(described, **changed)
        options = {
            "file": "tiny_sweep.py",
            "recipe": recipe,
            "changed": {},
            "grid": wanted,
            "outlines": check(recipe, wanted, "tiny_sweep.py"),
            "variants": list(only) or list(wanted.variants),
            "seeds": grid.seeds(wanted.seeds),
            "workdir": tmp_path / "sweep",
            "launcher": "local",
            "parallel": 1,
            "retry_failed": False,
            "max_losses": 3,
            "stall": 0.0,
            "cost": False,
        }
        return GridRequest(**options | changes)

    return build
