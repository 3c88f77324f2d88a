"""Signals and killed processes at any moment of a training: it stops in order, and computes the same."""

import multiprocessing
import os
import signal

import pytest
from small_runs import config_of, outcome, terminate

from chanattn import cli
from chanattn.runs.metrics_log import read_metrics
from chanattn.training import loop
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluator import Evaluator
from chanattn.training.experiment import Experiment
from chanattn.training.loop import train_and_evaluate
from chanattn.training.metrics_log import MetricsLog
from chanattn.training.step_program import StepProgram

pytestmark = pytest.mark.usefixtures("tiny_runs")


def config(loader="device"):
    """The config of a run that logs, evaluates and saves within a few steps."""
    c = config_of(loader, steps=20, log_every=1, eval_every=5, checkpoint_every=4)
    c.dataset.synthetic_classes = 5  # of the tiny network
    return c


@pytest.fixture
def undisturbed(tmp_path_factory, tiny_runs):
    """What the run computes when nobody disturbs it, by loader."""

    def of(loader):
        run = tmp_path_factory.mktemp(loader)
        train_and_evaluate(config(loader), run)
        return outcome(run)

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


def terminate_and_interrupt():
    terminate()
    os.kill(os.getpid(), signal.SIGINT)


def start(run, *moments):
    """Trains as `train.py` does, with a signal in front of a call of each of the functions given."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, number, call in moments:
            patch.setattr(owner, name, before(getattr(owner, name), call, number))
        with pytest.raises(SystemExit) as left:
            cli.run(lambda: train_and_evaluate(config(), run), argv=["train.py"])
    return left.value.code


# One process after another continues the run: the call that its signal comes before, and the step that is
# saved then.
MOMENTS = {
    "while data and network are built": (Experiment, "build", 1, 0),
    "while the state is initialised": (Experiment, "begin_state", 1, 0),
    "during compilation": (StepProgram, "compile", 1, 0),
    "during a step": (StepProgram, "__call__", 3, 3),
    "during the evaluation after step 5": (Evaluator, "__call__", 1, 5),
    "while step 8 is saved": (Checkpoints, "save", 1, 9),
}


def test_sigterm_at_any_moment_is_answered_with_75_and_loses_nothing(undisturbed, tmp_path, capsys):
    for owner, name, number, saved in MOMENTS.values():
        assert start(tmp_path, (owner, name, number, terminate)) == 75
        told = capsys.readouterr().err
        assert told.startswith("stopped by SIGTERM")
        assert len(told.splitlines()) == 1
        assert not (tmp_path / "summary.json").exists()
        with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
            assert (checkpoints.latest() or 0) == saved

    # More signals while it saves what the first has asked for.
    saving = (Checkpoints, "save", 1, terminate_and_interrupt), (Checkpoints, "close", 1, terminate)
    assert start(tmp_path, (StepProgram, "__call__", 2, terminate), *saving) == 75
    assert "stopped by SIGTERM after step 11, which is saved" in capsys.readouterr().err

    # The last evaluation is given up like any other; nothing is left to stop behind it.
    assert start(tmp_path, (Evaluator, "__call__", 4, terminate)) == 75
    assert "after step 20" in capsys.readouterr().err
    assert start(tmp_path, (loop, "finish", 1, terminate)) == 0
    assert (tmp_path / "summary.json").exists()
    assert outcome(tmp_path) == undisturbed("device")


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
    undisturbed, tmp_path, monkeypatch
):
    def kill():
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    stream = config("stream")
    stream.dataset.workers = 1
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", before(MetricsLog.write, kill, 2))
        with pytest.raises(RuntimeError, match="terminated unexpectedly with exit code -9"):
            train_and_evaluate(stream, tmp_path)
    assert not multiprocessing.active_children()
    assert 1 <= read_metrics(tmp_path)[-1]["step"] < 20
    train_and_evaluate(stream, tmp_path)
    assert outcome(tmp_path) == undisturbed("stream")
