"""metrics.jsonl: one object a line, cut back on resume; TensorBoard shows the same numbers."""

import json
import sys
import types
from functools import partial
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from tensorboardX.proto.event_pb2 import Event

from chanattn.errors import UsageError
from chanattn.runs.metrics_log import read_metrics
from chanattn.training.metrics_log import MetricsLog, check_views
from configs import base


@pytest.fixture
def config() -> ConfigDict:
    config = base.get_config()
    config.logging.tensorboard = False
    return config


def test_line_holds_step_split_time_and_metrics(tmp_path: Path, config: ConfigDict) -> None:
    log = MetricsLog(tmp_path, config)
    log.write(10, "train", {"loss": 0.25})
    log.write(10, "test", {"loss": 0.5, "top1": 1})
    (line, other) = read_metrics(tmp_path)  # readable while the run goes on
    log.close()
    assert line == {"step": 10, "split": "train", "time": line["time"], "loss": 0.25}
    assert line["time"] > 1.7e9
    assert (other["split"], other["top1"]) == ("test", 1.0)


def test_resume_drops_what_will_be_written_again(tmp_path: Path, config: ConfigDict) -> None:
    log = MetricsLog(tmp_path, config)
    for step in (10, 20, 30):
        log.write(step, "train", {"loss": step / 10})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "split": "tr')  # killed in the middle of a line
    log = MetricsLog(tmp_path, config, resume_step=20)
    log.write(30, "train", {"loss": 9.0})
    log.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [
        (10, 1.0),
        (20, 2.0),
        (30, 9.0),
    ]


def test_new_run_in_an_old_directory_starts_empty(tmp_path: Path, config: ConfigDict) -> None:
    log = MetricsLog(tmp_path, config)
    log.write(10, "train", {"loss": 1.0})
    log.close()
    MetricsLog(tmp_path, config, resume_step=0).close()
    assert read_metrics(tmp_path) == []


def test_value_that_is_not_finite_is_null(tmp_path: Path, config: ConfigDict) -> None:
    log = MetricsLog(tmp_path, config)
    log.write(1, "train", {"loss": float("nan"), "top1": float("inf")})
    log.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=pytest.fail)
    assert line["loss"] is None
    assert line["top1"] is None


def test_tensorboard_shows_the_same_numbers(tmp_path: Path, config: ConfigDict) -> None:
    config.logging.tensorboard = True
    log = MetricsLog(tmp_path, config)
    log.write(7, "test", {"loss": 0.5})
    log.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    scalars = [
        (value.tag, event.step, value.simple_value)
        for event in events(file)
        for value in event.summary.value
    ]
    assert scalars == [("loss/test", 7, 0.5)]


def events(file: Path) -> list[Event]:
    """Events of a TFRecord file: length (8 bytes), its checksum (4), the record, its checksum (4)."""
    data, found = file.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_weights_and_biases_continues_the_same_run(
    tmp_path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in with nothing but wandb's documented calls: anything else that the view uses fails here.
    started, logged = [], []

    class Run:
        def log(self, values, step):
            logged.append((step, values))

        def finish(self):
            pass

    def init(**settings):
        started.append(settings)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    config.logging.wandb_project = "project"
    for step in (0, 2):
        log = MetricsLog(tmp_path, config, step)
        log.write(step + 1, "train", {"loss": 0.5})
        log.close()
    assert started[0]["id"] == started[1]["id"]
    assert started[0]["project"] == "project"
    assert logged == [(1, {"train/loss": 0.5}), (3, {"train/loss": 0.5})]


class WandbError(Exception):
    """`wandb.Error`."""


def refusing(*, at: str) -> types.SimpleNamespace:
    """A stand-in for wandb that fails at `login` or at `init`."""

    def fail(*_: object, **__: object) -> None:
        raise WandbError("No API key configured.\nUse `wandb login` to log in.")

    def fine(*_: object, **__: object) -> None:
        pass

    return types.SimpleNamespace(
        Error=WandbError,
        login=fail if at == "login" else fine,
        init=fail if at == "init" else fine,
    )


def test_missing_wandb_names_the_extra(config: ConfigDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_views(config)
    config.logging.wandb_project = "mine"
    with pytest.raises(UsageError, match=r"pip install -e '\.\[wandb\]'"):
        check_views(config)


@pytest.mark.parametrize("at", ["login", "init"])
def test_wandb_that_lets_nobody_in_is_one_line(
    tmp_path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", refusing(at=at))
    config.logging.wandb_project = "mine"
    begin = {"login": check_views, "init": partial(MetricsLog, tmp_path)}[at]
    with pytest.raises(UsageError, match="No API key configured.*set WANDB_MODE=offline") as told:
        begin(config)
    assert "\n" not in str(told.value)


def test_what_could_not_be_measured_is_null_and_no_view_shows_it(
    tmp_path: Path, config: ConfigDict
) -> None:
    config.logging.tensorboard = True
    log = MetricsLog(tmp_path, config)
    log.write(1, "test", {"top1": None, "loss": 2.0})
    log.close()
    (line,) = read_metrics(tmp_path)
    assert (line["top1"], line["loss"]) == (None, 2.0)
