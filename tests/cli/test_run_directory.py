"""Run directories: what is written, what is refused, and that a refusal writes nothing."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.runs.metric import Metric
from chanattn.runs.summary import Summary
from chanattn.training import run_directory
from chanattn.training.config import changed_fields
from chanattn.training.run_directory import (
    check_run,
    command_line,
    finish,
    open_run,
    read_config,
)
from configs import base
from tests.support.fake_sweep import write_sweep

METRICS = (Metric("iou", "mean IoU", "%", higher_is_better=True),)


@pytest.fixture
def config() -> ConfigDict:
    return base.get_config()


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_new_run_holds_config_and_environment(tmp_path: Path, config: ConfigDict) -> None:
    run = tmp_path / "deep" / "run"
    assert open_run(run, config, METRICS) is False
    assert {path.name for path in run.iterdir()} == {"config.json", "environment.json"}
    assert changed_fields(read_config(run), config) == {}
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["platform"] == "cpu"
    assert environment["metrics"] == [
        {"name": "iou", "label": "mean IoU", "unit": "%", "higher_is_better": True}
    ]
    assert len(environment["devices"]) == jax.device_count()


def test_same_config_continues(tmp_path: Path, config: ConfigDict) -> None:
    open_run(tmp_path, config, METRICS)
    assert open_run(tmp_path, config, METRICS) is False  # nothing saved yet
    (tmp_path / "checkpoints" / "100").mkdir(parents=True)
    assert open_run(tmp_path, config, METRICS) is True


def test_other_config_is_refused_with_the_changes(tmp_path: Path, config: ConfigDict) -> None:
    open_run(tmp_path, config, METRICS)
    before = snapshot(tmp_path)
    config.optimizer.learning_rate = 0.5
    config.seed = 3
    with pytest.raises(UsageError) as caught:
        open_run(tmp_path, config, METRICS)
    assert "optimizer.learning_rate 0.1 -> 0.5" in str(caught.value)
    assert "seed 0 -> 3" in str(caught.value)
    assert "--allow_config_change" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


def test_of_many_changes_a_handful_is_named(tmp_path: Path, config: ConfigDict) -> None:
    open_run(tmp_path, config, METRICS)
    other = base.get_config()
    other.steps, other.seed, other.batch_size, other.dataset.name = 7, 8, 9, "digits"
    other.log_every, other.eval_every, other.checkpoint_every = 17, 18, 19
    changed = len(changed_fields(config, other))
    assert changed > 5
    with pytest.raises(UsageError, match=rf" and {changed - 5} more\); choose") as caught:
        open_run(tmp_path, other, METRICS)
    assert str(caught.value).count(" -> ") == 5


def test_allowed_change_is_recorded_and_the_run_is_no_longer_done(
    tmp_path: Path, config: ConfigDict
) -> None:
    open_run(tmp_path, config, METRICS)
    finish(tmp_path, Summary(steps=3))
    open_run(tmp_path, config, METRICS)
    assert (tmp_path / "summary.json").exists()
    config.epochs = 5.0
    open_run(tmp_path, config, METRICS, allow_config_change=True)
    assert read_config(tmp_path).epochs == 5.0
    assert not (tmp_path / "summary.json").exists()


def test_checkpoints_of_unknown_origin_are_refused(tmp_path: Path, config: ConfigDict) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UsageError, match=r"holds checkpoints but no config\.json"):
        check_run(tmp_path, config)


def test_place_below_a_file_is_refused(tmp_path: Path, config: ConfigDict) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; choose another --workdir"):
        check_run(tmp_path / "file" / "run", config)


def test_place_without_permission_is_refused(
    tmp_path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, to whom everything is permitted, so the answer of the system is replaced.
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=f"Permission denied in {tmp_path}; choose another"):
        open_run(tmp_path / "run", config, METRICS)
    assert list(tmp_path.iterdir()) == []


def test_failing_disk_is_a_usage_error(
    tmp_path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_directory.os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        open_run(tmp_path, config, METRICS)
    assert list(tmp_path.iterdir()) == []  # no half-written file


def test_directory_without_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        read_config(tmp_path)


def test_a_sweep_is_told_from_a_run_and_its_runs_are_named(
    tmp_path: Path, config: ConfigDict
) -> None:
    write_sweep(tmp_path / "S", {"none": [0.9, 0.91], "se": [0.92, 0.93]})
    with pytest.raises(
        UsageError,
        match=r"S is a sweep, not a run; name one of its runs: \S*S/runs/variant0/seed0, ",
    ):
        read_config(tmp_path / "S")
    shutil.rmtree(tmp_path / "S" / "runs")
    with pytest.raises(UsageError, match="S is a sweep, not a run; none of its runs has begun"):
        read_config(tmp_path / "S")


def test_damaged_config_is_named(tmp_path: Path, config: ConfigDict) -> None:
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        check_run(tmp_path, config)


def test_the_recorded_command_does_not_tell_where_the_project_lies(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [f"{tmp_path}/train.py", f"--workdir={tmp_path}/runs/a", "-x"])
    assert command_line() == ["train.py", "--workdir=runs/a", "-x"]


def test_the_revision_is_that_of_a_repository_that_tracks_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str, here: Path = tmp_path) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(here), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "venv" / "chanattn"
    (package / "training").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    module = package / "training" / "run_directory.py"
    module.write_text("")
    monkeypatch.setattr(run_directory, "__file__", str(module))
    assert run_directory.git_revision() is None
    git("init")
    git("commit", "--allow-empty", "-m", "of something else")
    assert run_directory.git_revision() is None  # an installed copy in a project of the user
    git("add", "venv/chanattn")
    git("commit", "-m", "the package")
    commit = git("rev-parse", "HEAD")
    assert run_directory.git_revision() == commit
    (package / "__init__.py").write_text("x = 1\n")
    assert run_directory.git_revision() == f"{commit}-dirty"
    other = tmp_path / "other"
    other.mkdir()
    git("init", here=other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in a hook of that repository
    assert run_directory.git_revision() == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert run_directory.git_revision() is None
