"""What half-written and damaged files do: one line that names the file, or a mark on the run."""

import json
from pathlib import Path

import pytest
from fake_sweep import write, write_sweep

from chanattn.errors import UsageError
from chanattn.report.comparison import Comparison, compare
from chanattn.report.read import read_sweep

TOP1 = "test/top1"


def compared(folder: Path) -> Comparison:
    return compare(read_sweep(folder), TOP1)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep", {"none": [0.90, 0.91], "se": [0.92, 0.93]})


def run(sweep: Path, variant: int = 1, seed: int = 1) -> Path:
    return sweep / "runs" / f"variant{variant}" / f"seed{seed}"


def test_values_are_in_per_cent_by_seed(sweep: Path) -> None:
    none, se = compared(sweep).rows
    assert none.values == pytest.approx({0: 90.0, 1: 91.0})
    assert se.difference is not None
    assert se.difference.mean == pytest.approx(2.0)
    assert (none.complete, none.missing, none.is_baseline) == (True, "", True)


def test_other_metrics_keep_their_unit(sweep: Path) -> None:
    none, _ = compare(read_sweep(sweep), "test/loss").rows
    assert none.values == pytest.approx({0: 0.10, 1: 0.09})
    assert none.summary is not None
    assert none.summary.best == pytest.approx(0.09)


def test_a_metric_that_no_run_has_is_refused_with_those_there_are(sweep: Path) -> None:
    with pytest.raises(UsageError, match="there are test/loss, test/top1, test/top5") as refused:
        compare(read_sweep(sweep), "test/top_1")
    assert "Did you mean 'test/top1'?" in str(refused.value)
    with pytest.raises(UsageError, match="SPLIT/NAME"):
        compare(read_sweep(sweep), "top1")


@pytest.mark.parametrize("name", ["summary.json", "config.json"])
@pytest.mark.parametrize("content", ["", '{"final": {"te', "[1, 2]", "\x00\x01", "[" * 100_000])
def test_a_run_with_a_damaged_file_counts_as_failed_and_the_file_is_named(
    sweep: Path, name: str, content: str
) -> None:
    (run(sweep) / name).write_text(content)
    _, se = compared(sweep).rows
    assert se.values == pytest.approx({0: 92.0})
    assert se.missing.startswith("seed 1 failed (")
    assert f"{run(sweep) / name} is damaged" in se.missing
    assert "\n" not in se.missing


def test_a_summary_without_config_belongs_to_nobody(sweep: Path) -> None:
    (run(sweep) / "config.json").unlink()
    _, se = compared(sweep).rows
    assert not se.complete
    assert "no config.json" in se.missing


def test_a_value_that_is_not_finite_is_missing(sweep: Path) -> None:
    write(run(sweep) / "summary.json", {"final": {"test": {"top1": float("nan")}}})
    _, se = compared(sweep).rows
    assert se.missing == "seed 1 done, but without this metric"


def test_states_of_runs_without_a_summary(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {"none": [0.9] * 4, "se": [0.9, None, None, None]})
    write(run(folder, seed=2) / "failed.json", {"code": 1, "last_lines": ["a", "error: b"]})
    for file in run(folder, seed=3).iterdir():
        file.unlink()
    run(folder, seed=3).rmdir()
    _, se = compared(folder).rows
    assert se.missing == (
        "seed 1 incomplete, at step 100; seed 2 failed (error: b); seed 3 not started"
    )


def test_a_failure_that_printed_nothing_is_told_by_its_launcher(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {"none": [0.9, 0.9], "se": [0.9, None]})
    failed = {"code": None, "detail": "killed by SIGKILL", "last_lines": []}
    write(run(folder) / "failed.json", failed)
    assert compared(folder).rows[1].missing == "seed 1 failed (killed by SIGKILL)"


def test_half_a_line_of_metrics_is_left_out(sweep: Path) -> None:
    path = run(sweep) / "metrics.jsonl"
    path.write_text(path.read_text() + 'nonsense\n[]\n{"step": 400, "split": "te')
    curve = compared(sweep).metric.curve(read_sweep(sweep).runs[3])
    assert list(curve) == [100, 200, 300]
    assert curve[300] == pytest.approx(93.0)


def test_damaged_cost_is_noted_and_the_table_goes_without(sweep: Path) -> None:
    (sweep / "cost.json").write_text("{")
    found = compared(sweep)
    assert found.rows[0].cost.macs is None
    assert found.rows[0].cost.parameters == 75_290  # as the runs tell
    assert any("cost.json is damaged" in note for note in found.notes)


def test_damaged_environment_is_noted_and_the_run_counts(sweep: Path) -> None:
    (run(sweep) / "environment.json").write_text("{")
    found = compared(sweep)
    assert found.rows[1].complete
    assert any("environment.json is damaged" in note for note in found.notes)


def change(folder: Path, **fields: object) -> None:
    path = folder / "sweep.json"
    write(path, json.loads(path.read_text()) | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"baseline": "nobody"}, "baseline 'nobody' is not among"),
        ({"baseline": None}, "baseline is null, not a text"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [0, "1"]}, "seeds"),
        ({"variants": []}, "variants is a list, not an object"),
        ({"variants": {"none": {"directory": "none"}}}, r"has no variants\.none\.overrides"),
        ({"variants": {"none": {"directory": "../x", "overrides": {}}}}, "not a folder's name"),
        ({"published": [{"source": "s"}]}, r"has no published\.setting"),
        ({"published": 3}, "published is a number"),
    ],
)
def test_a_damaged_index_is_refused_in_one_line(
    sweep: Path, fields: dict[str, object], message: str
) -> None:
    if "variants" in fields:
        fields = {"baseline": "none", **fields}
    change(sweep, **fields)
    with pytest.raises(UsageError, match=message) as refused:
        read_sweep(sweep)
    assert str(sweep / "sweep.json") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["92", [92, 0.1, 3], [], None, True])
def test_a_published_figure_that_is_none_is_refused(sweep: Path, value: object) -> None:
    figures = {"source": "s", "setting": "t", "metric": "m", "values": {"se": value}}
    change(sweep, published=[figures])
    with pytest.raises(UsageError, match="published figure of 'se'"):
        read_sweep(sweep)


def test_what_is_no_sweep_is_refused(tmp_path: Path, sweep: Path) -> None:
    with pytest.raises(UsageError, match="absent is not there; give the --workdir of a sweep$"):
        read_sweep(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"is no sweep, it has no sweep\.json; give the"):
        read_sweep(tmp_path)
    with pytest.raises(UsageError, match=r"is a single run, it has no sweep\.json; give the"):
        read_sweep(run(sweep))


def test_a_sweep_whose_runs_have_not_begun_compares_as_nothing(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {"none": [None], "se": [None]})
    rows = compared(folder).rows
    assert [(row.summary, row.difference, row.complete) for row in rows] == [
        (None, None, False)
    ] * 2
