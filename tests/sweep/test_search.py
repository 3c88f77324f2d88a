"""A search from its flags to its result, with a launcher that computes nothing; once with real trainings."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from chanattn import cli
from chanattn.errors import Preempted, UsageError
from chanattn.runs.metric import EARLIER
from chanattn.sweep import launchers, search_flags
from chanattn.sweep.grid import resolve
from chanattn.sweep.held_out import honest_splits
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.request import Request, SearchRequest
from chanattn.sweep.space import space
from chanattn.training.config import changed_fields, from_json
from tests.conftest import ROOT

pytest.importorskip("optuna", reason="the search extra is not installed")

from chanattn.sweep import search

TINY = "tests/sweep/tiny_sweep.py"
SPACE = {"optimizer.learning_rate": ("log_uniform", 0.001, 1.0)}


class Paper:
    """A launcher whose runs end at once with an accuracy that a formula gives, or as told."""

    def __init__(self, outcome: Callable[[float, int], object]) -> None:
        self.outcome = outcome
        self.queue: list[Job] = []
        self.submitted: list[str] = []
        self.stopped: list[str] = []
        self.closed = False

    def submit(self, job: Job) -> None:
        self.queue.append(job)
        self.submitted.append(job.name)

    def poll(self) -> Sequence[Ended]:
        ended, self.queue = [self._end(job) for job in self.queue], []
        for end in ended:
            if end.code is None:
                self.queue.append(end.job)
        return [end for end in ended if end.code is not None]

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def running(self) -> Sequence[Job]:
        return list(self.queue)

    def stop(self, job: Job) -> None:
        self.stopped.append(job.name)

    def close(self) -> None:
        self.closed = True

    def _end(self, job: Job) -> Ended:
        if job.name in self.stopped:
            return Ended(job, 75)
        config = from_json(job.config.read_text())
        result = self.outcome(config.optimizer.learning_rate, job.seed)
        job.workdir.mkdir(parents=True, exist_ok=True)
        if isinstance(result, str):  # the last line of what a run that failed has printed
            (job.workdir / "output.log").write_text(result + "\n")
            return Ended(job, 1)
        if isinstance(result, dict):  # the curve of a run that goes on
            lines = [
                {"step": step, "split": "test", "top1": value} for step, value in result.items()
            ]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (job.workdir / "metrics.jsonl").write_text(text)
            return Ended(job, None)
        (job.workdir / "summary.json").write_text(json.dumps({"final": {"test": {"top1": result}}}))
        return Ended(job, 0)


def accuracy(rate: float, seed: int) -> float:
    """Best at a rate of 0.1; seeds differ by a tenth, so that their mean lies between."""
    return 1 - 0.2 * abs(math.log10(rate) + 1) - 0.1 * seed


def request(workdir: Path, **changes: object) -> SearchRequest:
    fields = {
        "file": TINY,
        "class_names": tuple(f"class {i}" for i in range(10)),
        "recipe": honest_splits(cli.load_config(TINY)),
        "changed": {},
        "space": space(SPACE),
        "trials": 3,
        "seeds": (0, 1),
        "metric": EARLIER[0],
        "prune": False,
        "search_seed": 0,
        "workdir": workdir,
        "launcher": "local",
        "parallel": 1,
        "max_losses": 3,
        "stall": 0.0,
    }
    return SearchRequest(**(fields | changes))


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float, int], object]], Paper]:
    """Puts a paper launcher in the place of the real ones."""

    def build(outcome: Callable[[float, int], object]) -> Paper:
        paper = Paper(outcome)
        monkeypatch.setattr(launchers, "create", lambda *_: paper)
        monkeypatch.setattr("chanattn.sweep.controller._PAUSE", 0.0)
        monkeypatch.setattr(search, "_LOOK", 0.0)
        return paper

    return build


def result(workdir: Path) -> dict:
    return json.loads((workdir / "search.json").read_text())


def test_a_trial_is_worth_the_mean_of_its_seeds_and_the_best_is_named(
    tmp_path: Path, launch: Callable, capsys: pytest.CaptureFixture
) -> None:
    paper = launch(accuracy)
    search.search(request(tmp_path, changed={"optimizer.momentum": (0.9, 0.8)}))
    written = result(tmp_path)
    rates = [trial["overrides"]["optimizer.learning_rate"] for trial in written["trials"]]
    values = [trial["value"] for trial in written["trials"]]
    assert values == pytest.approx([accuracy(rate, 0) - 0.05 for rate in rates])
    best = max(range(3), key=lambda number: values[number])
    assert written["best"] == written["trials"][best]
    assert (written["trained_on"], written["judged_on"]) == ("train[:90%]", "train[90%:]")
    assert paper.submitted == [f"trial_{n:04d}/seed{s}" for n in range(3) for s in (0, 1)]
    assert paper.closed
    config = from_json((tmp_path / "jobs" / "trial_0002" / "seed1.json").read_text())
    assert (config.seed, config.optimizer.learning_rate) == (1, rates[2])
    assert config.dataset.eval_split == "train[90%:]"
    out = capsys.readouterr().out
    assert f"best: trial {best}, top1 {values[best]:.4f} on train[90%:] (mean of 2 seeds)" in out
    assert (
        f"train.py --config={TINY} --config.optimizer.momentum=0.8"
        f" --config.optimizer.learning_rate={rates[best]!r} --workdir=RUN" in out
    )


def test_more_trials_continue_a_search_and_repeat_none(tmp_path: Path, launch: Callable) -> None:
    launch(accuracy)
    search.search(request(tmp_path, trials=2))
    first = result(tmp_path)["trials"]
    paper = launch(accuracy)
    search.search(request(tmp_path, trials=4))
    assert result(tmp_path)["trials"][:2] == first
    assert paper.submitted == [f"trial_{n:04d}/seed{s}" for n in (2, 3) for s in (0, 1)]


def test_a_trial_that_was_cut_short_is_taken_up(
    tmp_path: Path, launch: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = launch(lambda rate, seed: accuracy(rate, seed) if seed == 0 else {1: 0.5})
    end = [False, False, True]
    monkeypatch.setattr(search.Interrupt, "received", lambda _: end.pop(0))
    with pytest.raises(Preempted, match="the same command continues the search"):
        search.search(request(tmp_path))
    assert paper.closed
    assert paper.submitted == ["trial_0000/seed0", "trial_0000/seed1"]
    monkeypatch.undo()
    paper = launch(accuracy)
    search.search(request(tmp_path))
    assert paper.submitted[0] == "trial_0000/seed1"  # seed 0 is done
    assert [trial["state"] for trial in result(tmp_path)["trials"]] == ["complete"] * 3


def test_trials_run_side_by_side_as_many_as_there_is_room_for(
    tmp_path: Path, launch: Callable
) -> None:
    most = [0]

    def outcome(rate: float, seed: int) -> float:
        most[0] = max(most[0], len(paper.queue))
        return accuracy(rate, seed)

    paper = launch(outcome)
    search.search(request(tmp_path, trials=5, parallel=7, seeds=(0, 1)))
    assert most[0] == 3 * 2


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (
            "error: the loss or a weight is not finite since step 3; nothing had been saved.",
            "pruned",
        ),
        ("OSError: No space left on device", "fail"),
    ],
)
def test_a_trial_that_fails_is_no_result(
    tmp_path: Path, launch: Callable, line: str, state: str, capsys: pytest.CaptureFixture
) -> None:
    launch(lambda rate, seed: line)
    with pytest.raises(SystemExit) as caught:
        search.search(request(tmp_path, trials=2))
    assert caught.value.code == 1
    assert [trial["state"] for trial in result(tmp_path)["trials"]] == [state] * 2
    assert result(tmp_path)["best"] is None
    assert line in capsys.readouterr().out


def test_a_trial_that_lags_behind_is_stopped_if_that_is_wanted(
    tmp_path: Path, launch: Callable
) -> None:
    seen: list[float] = []

    def curve_then_end(rate: float, seed: int) -> object:
        seen.append(rate)
        return {10: 0.9} if len(seen) % 2 else accuracy(rate, seed)

    launch(curve_then_end)
    search.search(request(tmp_path, trials=5, seeds=(0,), prune=True))
    paper = launch(lambda rate, seed: {10: 0.1})
    search.search(request(tmp_path, trials=6, seeds=(0,), prune=True))
    assert paper.stopped == ["trial_0005/seed0"]
    assert result(tmp_path)["trials"][5]["state"] == "pruned"


def test_a_folder_of_something_else_is_refused(tmp_path: Path, launch: Callable) -> None:
    launch(accuracy)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UsageError, match="holds something else than a search"):
        search.search(request(tmp_path))
    assert not (tmp_path / "search.db").exists()


def test_another_recipe_is_refused(tmp_path: Path, launch: Callable) -> None:
    launch(accuracy)
    search.search(request(tmp_path, trials=1))
    changed = request(tmp_path, trials=2)
    changed.recipe.batch_size = 8
    with pytest.raises(UsageError, match="another search.*batch_size 16 -> 8"):
        search.search(changed)


def given(
    changes: dict | None = None, launcher: str = "local", parallel: int = 2, **values: object
) -> SearchRequest:
    """The request that the flags of a search make, beside those that all sweeps have."""
    recipe = cli.load_config(TINY)
    config = resolve(recipe, changes or {})
    shared = Request(
        file=TINY,
        recipe=config,
        changed=changed_fields(recipe, config),
        seeds=(0, 1),
        workdir=Path("search"),
        launcher=launcher,
        parallel=parallel,
        max_losses=3,
        stall=0.0,
    )
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**values):
        return search_flags.request(shared)


def test_flags_make_a_request() -> None:
    made = given(
        search_space=["optimizer.learning_rate=log_uniform:0.01:1"],
        search_metric="loss",
        trials=7,
        changes={"optimizer.momentum": 0.8},
    )
    assert made.space == space({"optimizer.learning_rate": ("log_uniform", 0.01, 1.0)})
    assert (made.trials, made.metric.name, made.seeds, made.parallel) == (7, "loss", (0, 1), 2)
    assert made.changed == {"optimizer.momentum": (0.9, 0.8)}
    assert made.recipe.dataset.split == "train[:90%]"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "a search needs a space"),
        ({"search_space": ["batch_size=int:8:100"]}, "batch_size=100"),
        ({"launcher": "slurm", "parallel": 0}, "--search on slurm needs --parallel=N"),
        ({"changes": {"batch_size": 8}}, "--config.batch_size sets what the search is to choose"),
        ({"search_split": "test"}, "would make those worthless"),
        (
            {"search_metric": "top2"},
            "has no such metric; there are top1, top5, loss. Did you mean 'top5'",
        ),
    ],
)
def test_flags_that_make_no_sense_are_refused(values: dict, message: str) -> None:
    if values:
        values.setdefault("search_space", ["batch_size=int:8:16"])
    with pytest.raises(UsageError, match=message):
        given(**values)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chanattn.sweep", f"--config={TINY}:40", *arguments]


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_with_the_trial_that_it_was_at(tmp_path: Path) -> None:
    arguments = command(
        "--search",
        f"--workdir={tmp_path}",
        "--trials=1",
        "--parallel=1",
        "--search_space=optimizer.learning_rate=log_uniform:0.01:0.1",
        "--config.eval_every=20",
    )
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        began = tmp_path / "runs" / "trial_0000" / "seed0" / "config.json"
        deadline = time.monotonic() + 300
        while not began.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trial 0 goes on" in done.stdout
    written = result(tmp_path)
    summary = json.loads((began.parent / "summary.json").read_text())
    assert [trial["value"] for trial in written["trials"]] == [summary["final"]["test"]["top1"]]


def test_a_search_is_not_continued_on_other_classes(tmp_path: Path, launch: Callable) -> None:
    launch(accuracy)
    search.search(request(tmp_path, trials=1))
    run = tmp_path / "runs" / "trial_0000" / "seed1"
    (run / "classes.json").write_text(json.dumps({"names": ["cat"]}))
    with pytest.raises(UsageError, match=r"trial_0000/seed1 was trained on.*absent: 'cat'"):
        search.search(request(tmp_path, trials=2))
    assert not (tmp_path / "runs" / "trial_0001").exists()
