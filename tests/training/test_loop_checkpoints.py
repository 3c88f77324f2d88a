"""Checkpoints and the loop: which are kept, what a damaged one does, when a failed write ends the run."""

import json
import time

import orbax.checkpoint as ocp
import pytest
from small_runs import Crash, crash, outcome, tiny_config

from chanattn.errors import SaveFailed, UsageError
from chanattn.runs.metrics_log import read_metrics
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate

pytestmark = pytest.mark.usefixtures("tiny_runs")


def steps_of(run):
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.steps()


def accuracies(run):
    return {line["step"]: line["top1"] for line in read_metrics(run) if line["split"] == "ema"}


def damage(run, step):
    folder = run / "checkpoints" / str(step) / "weights" / "d"
    path = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Where the run lies that is never stopped; `finished` makes it."""
    return tmp_path_factory.mktemp("straight") / "run"


def finished(run):
    if not (run / "summary.json").exists():
        train_and_evaluate(tiny_config(), run)
    return run


def test_a_run_goes_on_from_an_older_checkpoint_if_the_newest_is_damaged(
    straight, tmp_path, at_line, capsys
):
    at_line(16, crash)
    with pytest.raises(Crash):
        train_and_evaluate(tiny_config(), tmp_path)
    assert steps_of(tmp_path) == [7, 14]
    damage(tmp_path, 14)
    summary = train_and_evaluate(tiny_config(), tmp_path)
    printed = capsys.readouterr().out
    assert "WARNING: the checkpoint of step 14 is damaged (" in printed
    assert "it was set aside as damaged-14" in printed
    assert "continuing from step 7" in printed
    (damaged,) = summary["damaged_checkpoints"]
    assert damaged["step"] == 14
    assert str(tmp_path) not in damaged["reason"]  # records do not tell where a run lay
    assert outcome(tmp_path) == outcome(finished(straight))


def test_a_run_whose_checkpoints_are_all_damaged_never_starts_from_scratch(tmp_path, at_line):
    at_line(12, crash)
    with pytest.raises(Crash):
        train_and_evaluate(tiny_config(), tmp_path)
    damage(tmp_path, 7)
    lines = read_metrics(tmp_path)
    with pytest.raises(UsageError, match="every checkpoint in .* is damaged"):
        train_and_evaluate(tiny_config(), tmp_path)
    assert read_metrics(tmp_path) == lines
    assert (tmp_path / "checkpoints/7").is_dir()


def test_a_failed_write_ends_the_run_at_the_next_log_point(tmp_path, monkeypatch):
    async def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    save = Checkpoints.save

    def save_and_rest(self, *arguments):
        save(self, *arguments)
        while self._store.is_saving():
            time.sleep(0.01)

    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", no_space)
    monkeypatch.setattr(Checkpoints, "save", save_and_rest)
    with pytest.raises(SaveFailed, match="step 7 could not be written .* nothing was saved before"):
        train_and_evaluate(tiny_config(), tmp_path)
    assert {line["step"] for line in read_metrics(tmp_path)} == {4, 6}


def test_the_best_checkpoint_is_kept_and_can_be_evaluated(tmp_path, at_line):
    config = tiny_config(eval_every=2, checkpoint_every=24)
    config.checkpoint.keep = 1
    config.checkpoint.keep_best = 2
    at_line(12, crash)
    with pytest.raises(Crash):
        train_and_evaluate(config, tmp_path)
    train_and_evaluate(config, tmp_path)
    scores = accuracies(tmp_path)
    first, second = sorted(scores, key=lambda step: (-scores[step], step))[:2]
    assert set(steps_of(tmp_path)) == {first, second, 24}
    result = evaluate_run(tmp_path, step="best")
    assert result["step"] == first
    assert result["top1"] == pytest.approx(scores[first])


def test_a_best_checkpoint_that_was_not_kept_is_refused_with_the_way_to_keep_it(straight):
    run = finished(straight)
    before = (run / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in before.splitlines()]
    lines = [line | {"top1": 0.75} if line["step"] == 12 else line for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        UsageError, match=r"step 12 was the best \(75\.00%\), .*keep_best=1, .* steps 21, 24"
    ):
        evaluate_run(run, step="best")
    (run / "metrics.jsonl").write_text(before)
