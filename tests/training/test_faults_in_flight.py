"""Signals and killed processes at any moment of a training: it stops in order, and computes the same."""

import multiprocessing
import os
import signal

import pytest

from chanattn import cli
from chanattn.errors import Preempted
from chanattn.training import loop
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.experiment import Experiment
from chanattn.training.loop import train_and_evaluate
from chanattn.training.metrics_log import MetricsLog, read_metrics
from chanattn.training.step import _Seeded
from tests.training.test_loop import config_of, outcome


@pytest.fixture
def short():
    """The config of a run that logs, evaluates and saves within a few steps."""

    def build(loader="device", **changes):
        config = config_of(loader, steps=12, log_every=1, eval_every=5, checkpoint_every=4)
        config.update(changes)
        return config

    return build


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the short run computes when nobody disturbs it, by loader."""
    outcomes = {}

    def of(config):
        loader = config.dataset.loader
        if loader not in outcomes:
            run = tmp_path_factory.mktemp(loader)
            train_and_evaluate(config, run)
            outcomes[loader] = outcome(run)
        return outcomes[loader]

    return of


def before(function, call, number=1):
    """`function`, which in its call of that number first does something else."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(None)
        if len(calls) == number:
            call()
        return function(*args, **kwargs)

    return wrapped


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


# Where the signal comes: what it comes in front of, in which of its calls, and the step that is saved then.
MOMENTS = {
    "while data and network are built": (Experiment, "build", 1, 0),
    "while the initial state is computed": (Experiment, "create_state", 1, 0),
    "during compilation": (_Seeded, "compile", 1, 0),
    "during a step": (_Seeded, "__call__", 3, 3),
    "during an evaluation": (
        loop,
        "measure",
        3,
        11,
    ),  # the raw weights of the second one, after step 10
    "while a checkpoint is saved": (Checkpoints, "save", 2, 9),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_is_answered_with_75_and_loses_nothing(
    short, undisturbed, tmp_path, monkeypatch, capsys, moment
):
    owner, name, number, saved = MOMENTS[moment]
    monkeypatch.setattr(owner, name, before(getattr(owner, name), terminate, number))
    with pytest.raises(SystemExit) as left:
        cli.run(lambda: train_and_evaluate(short(), tmp_path), argv=["train.py"])
    assert left.value.code == 75
    told = capsys.readouterr().err
    assert told.startswith("stopped by SIGTERM")
    assert len(told.splitlines()) == 1
    monkeypatch.undo()
    assert not (tmp_path / "summary.json").exists()
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        assert (checkpoints.latest() or 0) == saved
    train_and_evaluate(short(), tmp_path)
    assert outcome(tmp_path) == undisturbed(short())


def test_signals_while_the_state_is_saved_do_not_spoil_it(
    short, undisturbed, tmp_path, monkeypatch
):
    def again():
        terminate()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_Seeded, "__call__", before(_Seeded.__call__, terminate, 3))
    for name in ("save", "wait", "close"):
        monkeypatch.setattr(Checkpoints, name, before(getattr(Checkpoints, name), again))
    with pytest.raises(Preempted, match="stopped by SIGTERM after step 3, which is saved"):
        train_and_evaluate(short(), tmp_path)
    monkeypatch.undo()
    train_and_evaluate(short(), tmp_path)
    assert outcome(tmp_path) == undisturbed(short())


def test_a_signal_after_the_last_step_lets_the_run_end(short, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(
        loop, "measure", before(loop.measure, terminate, 6)
    )  # the averages, at the end
    with pytest.raises(SystemExit) as left:
        cli.run(lambda: train_and_evaluate(short(), tmp_path), argv=["train.py"])
    assert left.value.code == 0
    assert (tmp_path / "summary.json").exists()
    assert outcome(tmp_path) == undisturbed(short())


@pytest.fixture
def no_hang():
    """Ends a test that waits for ever."""

    def give_up(number, frame):
        raise TimeoutError("the training hangs")

    usual = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)


@pytest.mark.usefixtures("no_hang")
def test_a_killed_process_of_the_data_pipeline_is_an_error_and_the_run_continues(
    short, undisturbed, tmp_path, monkeypatch
):
    def kill():
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    config = short("stream", steps=30)
    config.dataset.workers = 1
    monkeypatch.setattr(MetricsLog, "write", before(MetricsLog.write, kill, 5))
    with pytest.raises(RuntimeError, match="terminated unexpectedly with exit code -9"):
        train_and_evaluate(config, tmp_path)
    monkeypatch.undo()
    assert not multiprocessing.active_children()
    assert 4 <= read_metrics(tmp_path)[-1]["step"] < 30
    train_and_evaluate(config, tmp_path)
    config.dataset.workers = 0
    assert outcome(tmp_path) == undisturbed(config)
