"""What is computed, what again, and what is given up; on a launcher that trains nothing."""

import json

import pytest

from chanattn.errors import Preempted, UsageError
from chanattn.sweep.ending import Interrupt
from chanattn.sweep.program import sweep
from chanattn.sweep.status import failure, is_done
from chanattn.sweep.store import job, write
from chanattn.training.lock import hold
from tests.sweep.conftest import Acting

ALL = ["none/seed0", "se_r4/seed0", "none/seed1", "se_r4/seed1"]


def test_every_variant_with_the_first_seed_comes_first(acting: Acting, request_for) -> None:
    sweep(request_for())
    assert acting.submitted == ALL
    assert acting.closed


def test_what_is_done_is_not_repeated(acting: Acting, request_for) -> None:
    request = request_for()
    sweep(request)
    summary = job(request.workdir, "none", 0).workdir / "summary.json"
    before = summary.stat().st_mtime_ns
    acting.submitted.clear()
    sweep(request)
    assert acting.submitted == []
    assert summary.stat().st_mtime_ns == before


def test_only_and_seeds_limit_what_is_trained_now(acting: Acting, request_for) -> None:
    sweep(request_for(only=["se_r4"], seeds=[1]))
    assert acting.submitted == ["se_r4/seed1"]
    sweep(request_for())
    assert acting.submitted == ["se_r4/seed1", "none/seed0", "se_r4/seed0", "none/seed1"]


def test_a_larger_grid_trains_the_new_runs_alone(acting: Acting, request_for, tiny) -> None:
    sweep(request_for())
    acting.submitted.clear()
    variants = dict(tiny[1].variants) | {"eca": {"model.attention.name": "eca"}}
    sweep(request_for(variants=variants))
    assert acting.submitted == ["eca/seed0", "eca/seed1"]


def test_preempted_and_vanished_workers_are_replaced(acting: Acting, request_for) -> None:
    acting.script = {"none/seed0": [75, 75, 75, 75, 75], "se_r4/seed0": [None, None, None]}
    sweep(request_for(seeds=1))
    assert acting.submitted.count("none/seed0") == 6
    assert acting.submitted.count("se_r4/seed0") == 4


def test_a_worker_that_vanishes_too_often_has_failed(acting: Acting, request_for, capsys) -> None:
    acting.script = {"none/seed0": [None] * 9}
    with pytest.raises(SystemExit) as left:
        sweep(request_for(seeds=1, max_losses=2))
    assert left.value.code == 1
    assert acting.submitted.count("none/seed0") == 3
    assert "none/seed0: killed by SIGKILL" in capsys.readouterr().out


def test_failures_are_listed_with_their_last_lines_and_tried_again_on_request(
    acting: Acting, request_for, capsys
) -> None:
    acting.script = {"se_r4/seed0": [1], "none/seed1": [2]}
    with pytest.raises(SystemExit) as left:
        sweep(request_for())
    assert left.value.code == 1
    assert sorted(acting.submitted) == sorted(ALL)  # one failure stops no other run

    acting.submitted.clear()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sweep(request_for())
    assert acting.submitted == []
    told = capsys.readouterr().out
    for expected in (
        "failed  se_r4/seed0: exit code 1\n    worker of se_r4/seed0\n    leaves with 1\n",
        "failed  none/seed1: exit code 2\n    worker of none/seed1\n    leaves with 2\n",
        "--retry_failed tries them again",
    ):
        assert expected in told

    request = request_for(retry_failed=True)
    sweep(request)
    assert acting.submitted == ["se_r4/seed0", "none/seed1"]
    assert failure(job(request.workdir, "se_r4", 0)) is None
    assert "failed" not in capsys.readouterr().out


def test_a_failed_run_that_was_finished_by_hand_is_done(acting: Acting, request_for) -> None:
    acting.script = {"none/seed0": [1]}
    request = request_for(seeds=1)
    with pytest.raises(SystemExit):
        sweep(request)
    done = job(request.workdir, "se_r4", 0).workdir / "summary.json"
    (job(request.workdir, "none", 0).workdir / "summary.json").write_text(done.read_text())
    sweep(request)


def test_a_run_that_an_orphan_still_trains_is_waited_for(
    acting: Acting, request_for, capsys
) -> None:
    request = request_for(seeds=1)
    write(request.workdir, request.recipe, request.grid, [0], name="tiny_sweep", file="f")
    orphan = hold(job(request.workdir, "none", 0).workdir, "taken:")
    orphan.__enter__()
    polls, poll = [], acting.poll

    def release_in_the_end():
        polls.append(list(acting.submitted))
        if len(polls) == 3:
            orphan.__exit__(None, None, None)
        return poll()

    acting.poll = release_in_the_end
    sweep(request)
    assert polls[2] == ["se_r4/seed0"]
    assert acting.submitted == ["se_r4/seed0", "none/seed0"]
    assert "held  none/seed0" in capsys.readouterr().out


def test_a_process_of_others_that_holds_a_run_and_writes_nothing_is_told_of_once(
    acting: Acting, request_for, capsys
) -> None:
    request = request_for(seeds=1, stall=0.01)
    write(request.workdir, request.recipe, request.grid, [0], name="tiny_sweep", file="f")
    workdir = job(request.workdir, "none", 0).workdir
    orphan = hold(workdir, "taken:")
    orphan.__enter__()
    polls, poll = [], acting.poll

    def release_in_the_end():
        polls.append(None)
        if len(polls) == 5:
            orphan.__exit__(None, None, None)
        return poll()

    acting.poll = release_in_the_end
    sweep(request)
    told = capsys.readouterr().out
    assert told.count("its process has written nothing for 0 s") == 1
    assert f"fuser -v {workdir}/.lock" in told


def test_a_second_sweep_in_one_folder_is_refused(acting: Acting, request_for) -> None:
    request = request_for()
    with (
        hold(request.workdir, "taken:"),
        pytest.raises(UsageError, match="another sweep runs in .*sweep; wait for it"),
    ):
        sweep(request)
    assert acting.submitted == []
    sweep(request)


def test_a_signal_stops_the_workers_and_says_how_to_continue(
    acting: Acting, request_for, monkeypatch
) -> None:
    monkeypatch.setattr(Interrupt, "received", lambda self: True)
    monkeypatch.setattr(acting, "poll", list)
    with pytest.raises(Preempted, match="the same command continues the sweep"):
        sweep(request_for())
    assert acting.closed


def test_the_cost_is_measured_once_a_variant_has_no_figures(
    acting: Acting, request_for, monkeypatch
) -> None:
    measured = []

    def measure(folder, stop, stall):
        measured.append(folder)
        costs = {"variants": {"none": {}, "se_r4": {}}}
        (folder / "cost.json").write_text(json.dumps(costs))
        return True

    monkeypatch.setattr("chanattn.sweep.cost.measure", measure)
    sweep(request_for(cost=False))
    assert measured == []
    sweep(request_for(cost=True))
    sweep(request_for(cost=True))
    assert len(measured) == 1
    sweep(request_for(cost=True, variants={"none": {}, "new": {"model.attention.name": "eca"}}))
    assert len(measured) == 2


def test_a_signal_while_the_cost_is_measured_leaves_the_runs_done(
    acting: Acting, request_for, monkeypatch
) -> None:
    monkeypatch.setattr(Interrupt, "received", lambda self: True)
    monkeypatch.setattr("chanattn.sweep.cost.measure", lambda folder, stop, stall: not stop())
    request = request_for(cost=True)
    with pytest.raises(Preempted, match="the same command measures the cost"):
        sweep(request)
    assert all(is_done(each) for each in request.jobs())


def test_a_report_that_cannot_be_made_hides_no_failure(
    acting: Acting, request_for, monkeypatch, capsys
) -> None:
    def refuse(folder):
        raise UsageError("no run is done")

    monkeypatch.setattr("chanattn.report.sweep_report.write_report", refuse)
    acting.script = {name: [1] for name in ALL}
    with pytest.raises(SystemExit):
        sweep(request_for())
    told = capsys.readouterr().out
    assert "no report: no run is done" in told
    assert told.count("leaves with 1") == len(ALL)
