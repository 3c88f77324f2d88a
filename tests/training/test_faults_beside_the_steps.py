"""Faults of what a run needs beside its steps: data, threads, log, output, directory, pictures."""

import os
import shutil
import signal
import sys
import threading

import pytest
from small_runs import Crash, crash, outcome, terminate, tiny_config

from chanattn import cli, files
from chanattn.errors import Preempted, RunFailed, SaveFailed
from chanattn.runs.metrics_log import read_metrics
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.experiment import Experiment
from chanattn.training.loop import train_and_evaluate
from chanattn.training.metrics_log import MetricsLog

pytestmark = pytest.mark.usefixtures("tiny_runs", "no_hang")


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


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Where the run lies that is never disturbed; `expected` makes it."""
    return tmp_path_factory.mktemp("straight") / "run"


@pytest.fixture
def expected(straight, tiny_runs):
    """What the run computes."""
    if not (straight / "summary.json").exists():
        train_and_evaluate(tiny_config(), straight)
    return outcome(straight)


def latest(run):
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.latest()


def test_an_error_of_the_data_saves_what_was_trained(expected, tmp_path, monkeypatch):
    build = Experiment.build.__func__

    def with_a_fault(cls, *arguments):
        experiment = build(cls, *arguments)
        feeds = experiment.train.feeds

        def faulty(start):
            for number, feed in enumerate(feeds(start), start=start):
                if number == 11:
                    raise RuntimeError("the disk of the pictures is gone")
                yield feed

        experiment.train.feeds = faulty
        return experiment

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "build", classmethod(with_a_fault))
        with pytest.raises(RuntimeError, match="the disk of the pictures is gone") as raised:
            train_and_evaluate(tiny_config(), tmp_path)
    assert "step 11 is saved in" in raised.value.__notes__[0]
    assert latest(tmp_path) == 11
    train_and_evaluate(tiny_config(), tmp_path)
    assert outcome(tmp_path) == expected


def test_a_thread_that_dies_ends_the_run_with_its_message_and_what_was_trained_is_saved(
    expected, tmp_path, at_line, capsys
):
    def write():
        raise OSError(28, "No space left on device")

    def die():
        thread = threading.Thread(target=write, name="the writer of events")
        thread.start()
        thread.join()

    at_line(8, die)
    before = threading.excepthook
    threading.excepthook = lambda arguments: None  # pytest's would count it
    try:
        with pytest.raises(SystemExit) as left:
            cli.run(lambda: train_and_evaluate(tiny_config(), tmp_path), argv=["train.py"])
    finally:
        threading.excepthook = before
    assert left.value.code == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-2].startswith("error: the thread the writer of events has failed (OSError: ")
    assert told[-1].startswith("step 9 is saved in ")
    train_and_evaluate(tiny_config(), tmp_path)
    assert outcome(tmp_path) == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_event_files_that_cannot_be_written_end_the_run_and_do_not_hang_it(tmp_path, monkeypatch):
    from tensorboardX.event_file_writer import EventsWriter

    def no_space(self, event):
        raise OSError(28, "No space left on device")

    def open_and_fill_the_disk(self, *arguments):
        opened(self, *arguments)
        monkeypatch.setattr(EventsWriter, "write_event", no_space)

    config, opened = tiny_config(log_every=1), MetricsLog._open
    config.logging.tensorboard = True
    monkeypatch.setattr(MetricsLog, "_open", open_and_fill_the_disk)
    with pytest.raises(RunFailed, match="has failed .*No space left on device") as raised:
        train_and_evaluate(config, tmp_path)
    assert f"step {latest(tmp_path)} is saved in" in raised.value.__notes__[0]


def test_a_reader_that_goes_away_does_not_end_a_run(expected, tmp_path, monkeypatch, capsys):
    """As in `train.py ... | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        train_and_evaluate(tiny_config(), tmp_path)
    assert capsys.readouterr().err.count("stdout takes nothing any more (Broken pipe)") == 1
    assert outcome(tmp_path) == expected


def test_an_evaluation_that_is_interrupted_again_and_again_leaves_one_line(
    expected, tmp_path, at_line, monkeypatch
):
    """A signal where it is due, and deaths between its line and the next save."""
    at_line(12, terminate)
    with pytest.raises(Preempted):
        train_and_evaluate(tiny_config(), tmp_path)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "train_step", lambda self: crash())
            with pytest.raises(Crash):
                train_and_evaluate(tiny_config(), tmp_path)
        assert [line["split"] for line in read_metrics(tmp_path)][-3:] == ["train", "test", "ema"]
    train_and_evaluate(tiny_config(), tmp_path)
    assert outcome(tmp_path) == expected


@pytest.mark.parametrize("what", ["removed", "moved", "replaced"])
def test_a_run_directory_that_is_taken_away_ends_the_run(expected, tmp_path, monkeypatch, what):
    run, write = tmp_path / "run", MetricsLog.write

    def take_away():
        if what == "removed":
            shutil.rmtree(run)
        else:
            run.rename(tmp_path / "elsewhere")
        if what == "replaced":
            shutil.copytree(tmp_path / "elsewhere", run)

    def written(self, step, split, metrics):
        if (step, split) == (12, "train"):
            take_away()
        write(self, step, split, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", written)
        patch.setattr(Checkpoints, "raise_errors", Checkpoints.wait)  # nobody writes meanwhile
        with pytest.raises(RunFailed, match=r"metrics.jsonl was moved, removed or replaced"):
            train_and_evaluate(tiny_config(), run)
    assert not (run / "summary.json").exists()
    if what != "removed":
        train_and_evaluate(tiny_config(), tmp_path / "elsewhere")
        assert outcome(tmp_path / "elsewhere") == expected


def test_checkpoints_that_are_taken_away_while_they_are_written_end_the_run(tmp_path, monkeypatch):
    save = Checkpoints.save

    def save_and_lose(self, *arguments):
        save(self, *arguments)
        self._store.wait()
        self.directory.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(Checkpoints, "save", save_and_lose)
    with pytest.raises(
        SaveFailed, match="step 7 could not be written .*it was written, but it is absent"
    ):
        train_and_evaluate(tiny_config(), tmp_path / "run")


def test_a_full_disk_behind_the_log_is_one_line(tmp_path, monkeypatch):
    opened = MetricsLog._open

    def open_on_a_full_disk(self, *arguments):
        opened(self, *arguments)
        os.dup2(full, self._file.fileno())

    full = os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(MetricsLog, "_open", open_on_a_full_disk)
    with pytest.raises(
        RunFailed, match=r"metrics.jsonl could not be written \(No space left on device\)"
    ) as raised:
        train_and_evaluate(tiny_config(), tmp_path)
    assert "step 4 is saved in" in raised.value.__notes__[0]


def test_a_summary_that_cannot_be_written_is_one_line_and_the_next_start_writes_it(
    expected, tmp_path, monkeypatch
):
    write = files.write_text

    def no_space(path, text):
        if path.name == "summary.json":
            raise OSError(28, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", no_space)
        with pytest.raises(
            RunFailed, match=r"done and saved, but .*summary.json .*No space left on device"
        ):
            train_and_evaluate(tiny_config(), tmp_path)
    assert not (tmp_path / "summary.json").exists()
    assert train_and_evaluate(tiny_config(), tmp_path)["steps"] == 24
    assert (tmp_path / "summary.json").exists()
    assert outcome(tmp_path) == expected
