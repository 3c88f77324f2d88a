"""`python -m benchmarks.throughput`: what its flags refuse, and what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from benchmarks import rows, throughput
from benchmarks.bench import Bench, Settings
from chanattn.errors import UsageError
from tests.conftest import ROOT

KEYS = {"row", "mode", "peer", "ours_images_per_s", "peer_images_per_s", "ratio"}


def parse(*arguments: str) -> flags.FlagValues:
    values = flags.FlagValues()
    throughput.define_flags(values)
    values(throughput.with_underscores(["throughput", *arguments]))
    return values


def settings(**changes: object) -> Settings:
    usual = {
        "against": None,
        "torch_python": None,
        "torch_compile": "auto",
        "rounds": 2,
        "seconds": 0.0,
        "kernels": "auto",
        "devices": 0,
        "device": "cpu",
        "environment": {},
    }
    return Settings(**(usual | changes))


def row(name: str, batch: int) -> rows.Row:
    (made,) = rows.make([name], batch_size=batch, on_accelerator=False, precision="float32")
    return made


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("resnet2", "unknown row 'resnet2'.*Did you mean 'resnet20'"),
        ("se@32x56x56", "unknown row"),
        ("sse@32x56x56x256", "unknown row"),
        ("se@0x56x56x256", "unknown row"),
        ("vgg*", "unknown row"),
        (" , ", "lists nothing"),
    ],
)
def test_unknown_rows_are_refused(listed: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows.choose(listed)


def test_patterns_choose_groups_and_each_row_once() -> None:
    assert rows.choose("resnet20_se,resnet20*") == [
        "resnet20_se",
        "resnet20",
        *(f"resnet20_{name}" for name in ("eca", "cbam", "gc", "sk", "splat")),
    ]
    assert len(rows.choose("*@*")) == 18
    assert rows.choose("*") == rows.names()
    assert rows.choose("gc@2x3x5x8") == ["gc@2x3x5x8"]


def test_batches() -> None:
    names = ["resnet20", "resnet50", "se@32x14x14x1024"]
    for on_accelerator, given, batches in (
        (False, 0, [128, 16, 32]),
        (True, 0, [128, 256, 32]),
        (False, 8, [8, 8, 8]),
    ):
        made = rows.make(
            names, batch_size=given, on_accelerator=on_accelerator, precision="float32"
        )
        assert [r.batch for r in made] == batches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against=timm"], "needs --torch-python"),
        (["--torch-python=python"], "only for --against=timm"),
        (["--json=absent/file.json"], "no such folder"),
        (["--json=."], "is a folder"),
        (["--json=a.png", "--plot=./a.png"], "name different ones"),
        (["--plot=picture.jpg"], r"must end in \.png"),
    ],
)
def test_flags_that_cannot_work_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        throughput.check(parse(*arguments))


@pytest.mark.parametrize(
    ("listed", "message"), [("trian", "Did you mean 'train'"), ("", "nothing")]
)
def test_unknown_modes_are_refused(listed: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        throughput.choose_modes(listed)


def test_dashes_and_underscores_name_the_same_flag() -> None:
    values = parse("--torch-python=a-b", "--batch-size", "3")
    assert (values.torch_python, values.batch_size) == (Path("a-b"), 3)


def test_bad_rows_end_the_program_with_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks.throughput", "--rows=resnet21"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: unknown row 'resnet21'")
    assert ended.stderr.count("\n") == 1


def test_report_of_a_module_alone(tmp_path: Path) -> None:
    ticks: list[str] = []
    with Bench(settings()) as bench:
        for mode in throughput.MODES:
            bench.measure(row("cbam@4x6x6x8", 0), mode, ticks.append)
        report = bench.report()
    assert len(ticks) == 2 * (3 + 2)

    paths = {name: str(tmp_path / f"out.{name}") for name in ("json", "markdown", "png")}
    values = parse(
        f"--json={paths['json']}", f"--markdown={paths['markdown']}", f"--plot={paths['png']}"
    )
    throughput.write(values, report)
    read = json.loads(Path(paths["json"]).read_text())
    assert {"hardware", "how", "rows"} <= read.keys()
    assert {"cpu", "cores", "memory_gb"} <= read["hardware"].keys()
    assert [entry["mode"] for entry in read["rows"]] == ["train", "infer"]
    for entry in read["rows"]:
        assert entry.keys() >= KEYS
        assert entry["ours_lowest"] <= entry["ours_images_per_s"] <= entry["ours_highest"]
        assert entry["peer"] is entry["peer_images_per_s"] is entry["ratio"] is None
        # Two layers of 8 x 1 without biases, a 7x7 kernel on two maps, a norm.
        assert entry["parameters"] == 2 * 8 + 49 * 2 + 2
    assert "| cbam@4x6x6x8 | train | 4 |" in Path(paths["markdown"]).read_text()
    assert Path(paths["png"]).read_bytes().startswith(b"\x89PNG")


def test_inference_against_flax() -> None:
    with Bench(settings(against="flax")) as bench:
        entry = bench.measure(row("resnet20", 2), "infer", lambda _: None)
    assert entry["peer"] == "flax"
    assert entry["parameters"] == entry["peer_parameters"] == 269_722
    assert entry["ratio_lowest"] <= entry["ratio"] <= entry["ratio_highest"]


def test_modules_alone_have_no_flax_peer() -> None:
    with (
        Bench(settings(against="flax")) as bench,
        pytest.raises(UsageError, match="not the module"),
    ):
        bench.check([row("se@4x6x6x8", 0)])
