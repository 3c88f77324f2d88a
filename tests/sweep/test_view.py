"""What a sweep shows, on a terminal and elsewhere, and the time that it says is left."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from chanattn.sweep.estimate import Progress, seconds_left
from chanattn.sweep.launchers.base import Job
from chanattn.sweep.status import Status
from chanattn.sweep.view import View


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def job(folder: Path, variant: str, seed: int = 0) -> Job:
    return Job(variant, seed, folder / "config.json", folder / variant / f"seed{seed}")


def log(run: Job, *lines: dict) -> None:
    run.workdir.mkdir(parents=True, exist_ok=True)
    with (run.workdir / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def train(step: int, rate: float = 10.0) -> dict:
    return {"step": step, "split": "train", "loss": 0.5, "steps_per_second": rate}


def finish(run: Job, top1: float = 0.9, seconds: float = 20.0) -> None:
    run.workdir.mkdir(parents=True, exist_ok=True)
    final = {"test": {"top1": 0.1}, "ema": {"top1": top1}}
    summary = {"steps": 100, "seconds": seconds, "final": final}
    (run.workdir / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def shown(tmp_path: Path):
    """A view of these runs, and what it has printed."""

    def build(jobs, terminal=False, height=40):
        output = io.StringIO()
        console = Console(
            file=output, force_terminal=terminal, width=100, height=height, color_system=None
        )
        clock = Clock()
        steps = dict.fromkeys((each.variant for each in jobs), 100)
        return View("Title", jobs, steps, console=console, clock=clock), output, clock

    return build


def test_without_a_terminal_every_event_is_a_line(shown, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "none"), job(tmp_path, "se[red]")]
    view, output, clock = shown(jobs)
    with view:
        view.look(jobs[:1])
        finish(jobs[0])
        view.tell("done", jobs[0], "")
        view.look(jobs[1:])
        log(jobs[1], train(40))
        clock.now = 61.0
        view.look(jobs[1:])
        view.tell("failed", jobs[1], "exit code 1")
    lines = output.getvalue().splitlines()
    assert lines[0] == "running  none/seed0"
    assert lines[1].startswith("done  none/seed0  top-1 accuracy 90.00%  20 s  (1 of 2 runs done")
    assert lines[2] == "running  se[red]/seed0"
    assert lines[3] == "se[red]/seed0  running  step 40/100  loss 0.5000  after 1:01 min"
    assert lines[4] == "1 of 2 runs done, 1 running, about 6 s left"
    assert lines[5].startswith("failed  se[red]/seed0  exit code 1")


def test_the_time_of_a_run_counts_from_the_start_of_its_worker(shown, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "none"), job(tmp_path, "none", 1)]
    view, output, clock = shown(jobs)
    with view:
        view.look(jobs[:1])
        clock.now = 90.0  # of which the training, by its own account, has taken 20
        finish(jobs[0])
        view.tell("done", jobs[0], "")
    done, left = output.getvalue().splitlines()[1:]
    assert "accuracy 90.00%  1:30 min" in done
    assert left.endswith("about 1:30 min left")


def test_at_the_end_it_says_what_the_time_was_spent_on(shown, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a"), job(tmp_path, "b")]
    view, output, clock = shown(jobs)
    with view:
        for run in jobs:
            view.look([run])
            clock.now += 30
            finish(run)
            path = run.workdir / "summary.json"
            phases = {"training": 12.0, "compiling": 6.0, "saving": 3.0}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"phases": phases}))
            view.tell("done", run, "")
            clock.now += 30
    told = output.getvalue().splitlines()[-1]
    assert told == (
        "time of 1 worker: idle 50 %, training 20 %, starting and finishing 15 %, compiling 10 %, saving 5 %"
    )


def test_on_a_terminal_the_table_has_a_row_a_run(shown, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "none"), job(tmp_path, "se[red]"), job(tmp_path, "late")]
    finish(jobs[0])
    log(jobs[1], train(40), {"step": 40, "split": "test", "top1": 0.875})
    view, output, _ = shown(jobs, terminal=True)
    view.look(jobs[1:2])
    view._console.print(view.table())
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows[0] == ["Title"]
    assert [word for word in rows[2] if "━" not in word] == [
        *("none/seed0", "done", "100/100", "90.00%", "20", "s")
    ]
    assert [word for word in rows[3] if "━" not in word][:5] == [
        *("se[red]/seed0", "running", "40/100", "0.5000", "87.50%")
    ]
    assert rows[4][:2] == ["late/seed0", "waiting"]
    assert rows[5][:4] == ["1", "of", "3", "runs"]


def test_a_small_terminal_keeps_what_runs_and_counts_the_rest(shown, tmp_path: Path) -> None:
    jobs = [job(tmp_path, f"v{number:02}") for number in range(30)]
    for each in jobs[:10]:
        finish(each)
    view, output, _ = shown(jobs, terminal=True, height=12)
    view.look([jobs[10], jobs[11]])
    view._console.print(view.table())
    text = output.getvalue()
    assert "v10/seed0" in text
    assert "v11/seed0" in text
    assert "and 7 done, 18 waiting" in text
    assert len(text.splitlines()) <= 12


def test_a_metrics_line_cut_by_a_kill_is_passed_over(shown, tmp_path: Path) -> None:
    run = job(tmp_path, "none")
    log(run, train(40))
    with (run.workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "spl')
    view, output, _ = shown([run], terminal=True)
    view._console.print(view.table())
    assert "stopped" in output.getvalue()
    assert "40/100" in output.getvalue()


def test_time_left_counts_workers_and_what_is_done_of_each_run() -> None:
    done = Progress("a", Status("done", 100, seconds=20.0), 100)
    slow = Progress("b", Status("done", 100, seconds=60.0), 100)
    waiting = [Progress("a", Status(), 100), Progress("b", Status(), 100)]
    half = Progress("a", Status("stopped", 50), 100)
    failed = Progress("a", Status("failed", 10), 100)
    assert seconds_left([done, slow, failed], 2) == 0
    assert seconds_left([done, slow, *waiting, half, failed], 1) == 20 + 60 + 10
    # of two workers one has the long run to do
    assert seconds_left([done, slow, *waiting], 2) == 60
    # a variant that nothing is known of takes as long as the mean of the others
    assert seconds_left([done, slow, Progress("c", Status(), 100)], 1) == 40
    # the first run of a variant has compiled for the others
    assert (
        seconds_left([slow, Progress("b", Status("done", 100, seconds=9.0), 100), waiting[1]], 1)
        == 9
    )


def test_time_left_before_any_run_is_done_comes_from_the_speed_of_one_under_way() -> None:
    waiting = Progress("b", Status(), 100)
    assert seconds_left([waiting], 1) is None
    # 10 steps/s since it was resumed at step 20: 30 steps took 3 of its 8 seconds, the start 5.
    running = Progress("a", Status("stopped", 50, steps_per_second=10.0), 100, 8.0, 20)
    assert seconds_left([running], 1) == pytest.approx(5.0)
    assert seconds_left([running, waiting], 1) == pytest.approx(5.0 + 5.0 + 10.0)
