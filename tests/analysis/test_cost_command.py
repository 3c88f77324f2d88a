"""`python -m chanattn.analysis.cost`: what it prints, writes and refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chanattn.analysis.cost import tables, variants
from chanattn.analysis.cost.grid import Grid, page
from chanattn.analysis.cost.variants import Case
from chanattn.analysis.modules import network_cost
from chanattn.errors import UsageError
from chanattn.models import create
from configs import digits
from tests.conftest import ROOT

DIGITS = "--config=configs/digits.py"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chanattn.analysis.cost", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_prints_and_writes_tables_and_figures(tmp_path: Path) -> None:
    file, text = tmp_path / "cost.json", tmp_path / "cost.md"
    done = command(
        DIGITS,
        "--against=",
        "--batch_sizes=2,4",
        "--rounds=2",
        "--seconds=0",
        f"--json={file}",
        f"--markdown={text}",
    )
    assert done.returncode == 0, done.stderr
    for expected in ("stage1_block1", "76,081", "training step, batches of 4", "latency of one"):
        assert expected in done.stdout
    written = json.loads(file.read_text())
    assert list(written["variants"]) == ["se, batch 2, float32", "se, batch 4, float32"]
    # The latency of one picture is one measurement, whatever the batch.
    two, four = written["variants"].values()
    assert two["infer_latency_ms"] == four["infer_latency_ms"]
    assert written["how"]["command"][:3] == ["python", "-m", "chanattn.analysis.cost"]
    assert text.read_text().count("| mechanism |") == 6


@pytest.mark.slow
def test_counts_without_timing() -> None:
    done = command(DIGITS, "--nospeed", "--mechanisms=se,eca")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["eca", "75,299", "+9", "+0.01"] in [line[:4] for line in lines]
    assert "images/s" not in done.stdout


@pytest.mark.slow
def test_a_mistake_is_told_in_one_line() -> None:
    """The others are in `tests/reliability/cases/command_lines.py`."""
    done = command(DIGITS, "--config.dataset.name=cifar1O")
    assert done.returncode == 2
    assert "Did you mean 'cifar10'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_plain_backbone_comes_first_and_has_no_options() -> None:
    config = digits.get_config("se")
    config.model.attention.reduction = 4
    config.model.attention.placement = "pre"
    chosen = variants.mechanisms(config, [], "identity")
    assert list(chosen) == ["identity", "se (reduction=4)"]
    assert chosen["identity"].model.attention.reduction is None
    assert chosen["se (reduction=4)"].model.attention.placement == "pre"
    assert list(variants.mechanisms(config, [], "se")) == ["se", "se (reduction=4)"]
    assert list(variants.mechanisms(config, [], "")) == ["se (reduction=4)"]
    assert list(variants.mechanisms(digits.get_config("identity"), [], "identity")) == ["identity"]


def test_several_mechanisms_have_their_own_defaults() -> None:
    chosen = variants.mechanisms(digits.get_config("se"), ["eca", "splat", "eca"], "identity")
    assert list(chosen) == ["identity", "eca", "splat"]
    assert [config.model.attention.name for config in chosen.values()] == list(chosen)


def test_options_of_one_mechanism_among_several_are_refused() -> None:
    config = digits.get_config("se")
    config.model.attention.reduction = 4
    with pytest.raises(UsageError, match=r"attention\.reduction=4 is an option of one"):
        variants.mechanisms(config, ["se", "eca"], "identity")
    with pytest.raises(UsageError, match="unknown mechanism 'ecaa'.*Did you mean 'eca'"):
        variants.mechanisms(digits.get_config("se"), ["ecaa"], "identity")
    with pytest.raises(UsageError, match="unknown mechanism 'non'"):
        variants.mechanisms(digits.get_config("se"), [], "non")


def test_cases_are_batches_times_types() -> None:
    config = digits.get_config("se")
    assert variants.cases(config, [], []) == [Case(64, "float32")]
    assert variants.cases(config, ["1", "128", "1"], ["bfloat16"]) == [
        Case(1, "bfloat16"),
        Case(128, "bfloat16"),
    ]
    copy = variants.under(Case(2, "bfloat16"), config)
    assert (copy.batch_size, copy.precision, config.batch_size) == (2, "bfloat16", 64)


@pytest.mark.parametrize("size", ["0", "-1", "x", "1.5", ""])
def test_sizes_of_batches_are_checked(size: str) -> None:
    with pytest.raises(UsageError, match="must be positive whole numbers, such as 1,128"):
        variants.cases(digits.get_config("se"), [size], [])


def test_types_of_activations_are_checked() -> None:
    with pytest.raises(UsageError, match="float32, bfloat16.*Did you mean 'bfloat16'"):
        variants.cases(digits.get_config("se"), [], ["bfloat"])


def entry(parameters: int, milliseconds: list[float]) -> dict[str, Any]:
    def spread(values: list[float]) -> dict[str, Any]:
        middle = sorted(values)[len(values) // 2]
        return {"median": middle, "low": min(values), "high": max(values), "rounds": values}

    times, rates = spread(milliseconds), spread([8000 / each for each in milliseconds])
    return {
        **{"parameters": parameters, "macs": 10 * parameters, "elementwise": 0},
        **{"train_step_ms": times, "infer_ms": times, "infer_latency_ms": times},
        **{"train_images_per_s": rates, "infer_images_per_s": rates, "peak_memory_bytes": 3 << 20},
        **{"batch_size": 8, "precision": "float32", "image_shape": [32, 32, 3], "num_classes": 10},
    }


ENTRIES = {"identity": entry(1000, [2.0, 4.0, 8.0]), "se": entry(1100, [2.2, 4.8, 8.8])}


def test_overhead_is_the_median_of_paired_rounds() -> None:
    training, forward = tables.speeds(ENTRIES, "resnet8", "identity")
    assert training.columns == (
        "mechanism",
        "images/s",
        "low to high",
        "ms",
        "more time",
        "peak MiB",
    )
    assert training.rows[1] == (
        *("se", "1,667", "909 to 3,636", "4.8"),
        *("+10.0 % (+10.0 to +20.0)", "3.0"),
    )
    assert training.rows[0][4] == ""
    assert forward.columns == training.columns[:-1]
    assert tables.latency(ENTRIES, "resnet8", "").columns == ("mechanism", "ms", "low to high")


def test_overhead_in_parameters_is_that_against_the_plain_backbone() -> None:
    assert tables.counts(ENTRIES, "resnet8", "identity").rows == (
        ("identity", "1,000", "", "", "10,000", "", "", "0", "", ""),
        ("se", "1,100", "+100", "+10.00", "11,000", "+1,000", "+10.00", "0", "+0", ""),
    )
    assert tables.counts(ENTRIES, "resnet8", "").rows[1] == ("se", "1,100", "11,000", "0")


def test_table_of_modules_ends_with_the_total() -> None:
    cost = network_cost(create("resnet8", num_classes=10, attention="se"), (8, 8, 3))
    grid = tables.by_module(cost, "resnet8 with se", 1)
    rows = {row[0]: row for row in grid.rows}
    assert list(rows)[-1] == "total"
    # A 1x1 map of 64 channels in 10 classes, with a bias.
    assert rows["classifier"][1:4] == ("650", "0.9%", "640")
    assert rows["total"][6] == "791"
    deeper = tables.by_module(cost, "resnet8 with se", 2)
    assert "stage1_block1.attention" in [row[0] for row in deeper.rows]


def test_markdown_keeps_bars_in_cells_apart() -> None:
    grid = Grid("title", ("name", "of\nit"), (("a|b", "1"),))
    assert page([grid], ["note"]) == (
        "**title**\n\n| name | of it |\n| --- | ---: |\n| a\\|b | 1 |\n\nnote\n"
    )
